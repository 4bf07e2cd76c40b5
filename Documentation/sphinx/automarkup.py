# SPDX-License-Identifier: GPL-2.0
"""Links and checks for names in plain text, modelled on the kernel's automarkup.py.

- ``memory.rst`` and ``ABI/procfs-xfd`` become links; a page that does not exist is a warning.
- A literal that looks like a file in the tree (``rust/xfd/buffer/pool.rs``, or its end, ``pool.rs``) must be one.
  A ``*`` in it stands for any characters. What follows a colon must occur in the file: ``buffer/pool.rs:take``.
- The same goes for each file in a graph, and for the functions after it: ``buffer/fpstate.rs: obtain()``.
"""

import fnmatch
import os
import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.ext.graphviz import graphviz
from sphinx.util import logging

logger = logging.getLogger(__name__)

TREE = Path(__file__).resolve().parents[2]
FOLDERS = ["Documentation", "include", "machine", "packaging", "rust", "samples", "selftests", "xfdctl"]
PAGE = re.compile(r"(?<![\w/.*-])(?:Documentation/)?(?:([a-z][a-z-]*)\.rst|(ABI/[a-z]+-xfd))(?![\w/-])")
# A path from the top of the tree, or the end of one whose suffix the kernel's own files do not have.
NAMED = re.compile(rf"((?:{'|'.join(FOLDERS)})/[\w./*-]*|[A-Za-z*][\w./*-]*\.(?:rs|sh|toml))(?::([\w-]+))?")
# In a graph, all files are ours.
DRAWN = re.compile(r"(?<![\w/.-])([\w/-]+\.(?:c|rs|toml))(?:: (\w+)\(\))?")


def files_of_the_tree():
    """All files and folders in the tree, as paths from its top."""
    found = [path.name for path in TREE.iterdir()]
    for top in FOLDERS:
        for folder, folders, files in os.walk(TREE / top):
            folders[:] = [name for name in folders if name != "target"]
            here = Path(folder).relative_to(TREE)
            found += [str(here)] + [str(here / name) for name in files]
    return found


def place(node):
    """The nearest enclosing node that has a line number."""
    while node.line is None and node.parent is not None:
        node = node.parent
    return node


def link(docname, text, page):
    target = "abi" if page.startswith("ABI/") else page
    reference = addnodes.pending_xref(
        "", refdomain="std", reftype="doc", reftarget=f"/{target}", refdoc=docname, refexplicit=True, refwarn=True
    )
    reference += nodes.inline("", text, classes=["doc"])
    return reference


def link_pages(docname, text):
    """Replaces text with the same text plus links to the pages that it names."""
    parts, end = [], 0
    for match in PAGE.finditer(text):
        parts += [nodes.Text(text[end : match.start()]), link(docname, match[0], match[1] or match[2])]
        end = match.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def check(files, name, word, node):
    """Whether the tree has a file called name that contains the word, if one is given."""
    found = [path for path in files if fnmatch.fnmatchcase(path, name) or fnmatch.fnmatchcase(path, f"*/{name}")]
    if not found:
        logger.warning("no file of the tree is called %s", name, location=place(node))
    elif word and not any(re.search(rf"\b{word}\b", (TREE / path).read_text()) for path in found):
        logger.warning("%s does not contain %s", name, word, location=place(node))


def read(app, doctree):
    docname, files = app.env.docname, app.files_of_the_tree
    for literal in list(doctree.findall(nodes.literal)):
        page = PAGE.fullmatch(literal.astext())
        if page:
            inside = link(docname, literal.astext(), page[1] or page[2])
            inside[0]["classes"].append("literal")
            literal.replace_self(inside)
        else:
            named = NAMED.fullmatch(literal.astext())
            if named:
                check(files, named[1].rstrip("/"), named[2], literal)
    for picture in doctree.findall(graphviz):
        for name, word in DRAWN.findall(picture["code"].replace(r"\n", " ")):
            check(files, name, word, picture)
    for text in list(doctree.findall(nodes.Text)):
        kept = (nodes.literal, nodes.literal_block, nodes.title, nodes.reference, nodes.comment, addnodes.pending_xref)
        above = text.parent
        while above is not None and not isinstance(above, kept):
            above = above.parent
        if above is None:
            link_pages(docname, text)


def setup(app):
    app.files_of_the_tree = files_of_the_tree()
    app.connect("doctree-read", read)
    return {"parallel_read_safe": True}
