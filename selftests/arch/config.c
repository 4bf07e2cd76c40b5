// SPDX-License-Identifier: GPL-2.0
/* Invalid encodings, and which configurations LDTILECFG accepts (SDM vol. 2, LDTILECFG). */
#include "answers.h"
#include "faults.h"
#include "tiles.h"

/* The five bytes of a VEX instruction: map 0F38; @p is the byte holding W, vvvv, L and pp. */
#define BYTES(p, opcode, modrm) \
	TRY(ldtilecfg(&cfg); \
	    asm volatile(".byte 0xc4,0xe2," #p "," #opcode "," #modrm : : "a"(&plain), "d"(0) : "memory"))

void ask_encoding(void)
{
	static struct tile_config plain;
	struct tile_config cfg = uniform(16, 64);

	plain = cfg;
	answer("encoding.ldtilecfg", "%s", BYTES(0x78, 0x49, 0x00));
	answer("encoding.ldtilecfg.reg1", "%s", BYTES(0x78, 0x49, 0x08));
	answer("encoding.ldtilecfg.w1", "%s", BYTES(0xf8, 0x49, 0x00));
	answer("encoding.ldtilecfg.vvvv", "%s", BYTES(0x70, 0x49, 0x00));
	answer("encoding.ldtilecfg.l1", "%s", BYTES(0x7c, 0x49, 0x00));
	answer("encoding.sttilecfg", "%s", BYTES(0x79, 0x49, 0x00));
	answer("encoding.sttilecfg.reg1", "%s", BYTES(0x79, 0x49, 0x08));
	answer("encoding.sttilecfg.w1", "%s", BYTES(0xf9, 0x49, 0x00));
	answer("encoding.tilerelease", "%s", BYTES(0x78, 0x49, 0xc0));
	answer("encoding.tilerelease.rm1", "%s", BYTES(0x78, 0x49, 0xc1));
	answer("encoding.tilezero", "%s", BYTES(0x7b, 0x49, 0xc0));
	answer("encoding.tilezero.rm1", "%s", BYTES(0x7b, 0x49, 0xc1));
	answer("encoding.tileloadd.no_sib", "%s", BYTES(0x7b, 0x4b, 0x00));
	answer("encoding.tileloaddt1.no_sib", "%s", BYTES(0x79, 0x4b, 0x00));
	answer("encoding.tilestored.no_sib", "%s", BYTES(0x7a, 0x4b, 0x00));
	answer("encoding.tileloadd.register", "%s", BYTES(0x7b, 0x4b, 0xc0));
	tilerelease();
}

static struct tile_config cfg, stored;

static const char *load(void)
{
	tilerelease();
	return TRY(ldtilecfg(&cfg));
}

/* LDTILECFG of a valid configuration with one change. */
#define CHANGED(change) ({ cfg = uniform(16, 64); change; load(); })

static void ask_limits(void)
{
	answer("config.good", "%s", CHANGED());
	answer("config.palette2", "%s", CHANGED(cfg.palette = 2));
	answer("config.reserved.first", "%s", CHANGED(cfg.reserved[0] = 1));
	answer("config.reserved.last", "%s", CHANGED(cfg.reserved[13] = 1));
	answer("config.row_bytes.65", "%s", CHANGED(cfg.row_bytes[3] = 65));
	answer("config.rows.17", "%s", CHANGED(cfg.rows[3] = 17));
	answer("config.rows.none", "%s", CHANGED(cfg.rows[3] = 0));
	answer("config.row_bytes.none", "%s", CHANGED(cfg.row_bytes[3] = 0));
	answer("config.tile8.row_bytes", "%s", CHANGED(cfg.row_bytes[8] = 64));
	answer("config.tile8.rows", "%s", CHANGED(cfg.rows[8] = 16));
	answer("config.start_row.200", "%s", CHANGED(cfg.start_row = 200));
	answer("config.row_bytes.odd", "%s", CHANGED(cfg.row_bytes[0] = 6));
	answer("config.row_bytes.odd.tilezero", "%s", TRY(ldtilecfg(&cfg); tilezero(0)));
	answer("config.row_bytes.odd.tileloadd", "%s", TRY(ldtilecfg(&cfg); tileloadd(0, memory, 64)));
	answer("config.palette0", "%s", CHANGED(cfg = (struct tile_config){}));
}

void ask_config(void)
{
	ask_limits();

	cfg = uniform(16, 64);
	for (int i = 0; i < 8; i++) {
		cfg.rows[i] = 16 - i;
		cfg.row_bytes[i] = 64 - 4 * i;
	}
	cfg.start_row = 5;
	memset(&stored, 0xaa, sizeof(stored));
	ldtilecfg(&cfg);
	sttilecfg(&stored);
	answer("config.stored", "%s", memcmp(&cfg, &stored, sizeof(cfg)) ? "other" : "same");
	tilezero(0);
	sttilecfg(&stored);
	answer("config.start_row.after_tilezero", "%d", stored.start_row);
	tilerelease();
	memset(&stored, 0xaa, sizeof(stored));
	sttilecfg(&stored);
	answer("config.stored.released", "%s", contents(&stored, sizeof(stored), 0));
}
