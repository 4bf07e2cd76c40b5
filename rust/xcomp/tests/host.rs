// SPDX-License-Identifier: GPL-2.0
//! Checks that this machine's kernel gives consistent answers, with AMX or without.
//!
//! All tests run as threads of one process, and a permission that one test obtains is visible to
//! the others. So each test must pass both before and after that.

use xcomp::{Error, Feature, FeatureSet};

const LEGACY: FeatureSet = FeatureSet::from_bits(0b11);

#[test]
fn x87_and_sse_are_always_there() {
    assert!(LEGACY.is_subset(xcomp::supported().unwrap()));
    assert!(LEGACY.is_subset(xcomp::permitted().unwrap()));
    assert!(LEGACY.is_subset(xcomp::guest_permitted().unwrap()));
}

#[test]
fn nothing_unsupported_is_permitted() {
    let supported = xcomp::supported().unwrap();
    assert!(xcomp::permitted().unwrap().is_subset(supported));
    assert!(xcomp::guest_permitted().unwrap().is_subset(supported));
}

#[test]
fn tile_data_is_granted_exactly_where_it_is_supported() {
    let supported = xcomp::supported().unwrap().contains(Feature::TILE_DATA);
    let expected = if supported {
        Ok(())
    } else {
        Err(Error::NotSupported)
    };
    // The second request finds it already permitted, and gets the same answer.
    for _ in 0..2 {
        assert_eq!(xcomp::request(Feature::TILE_DATA), expected);
        assert_eq!(xcomp::request_guest(Feature::TILE_DATA), expected);
    }
    assert_eq!(
        xcomp::permitted().unwrap().contains(Feature::TILE_DATA),
        supported
    );
    assert_eq!(
        xcomp::guest_permitted()
            .unwrap()
            .contains(Feature::TILE_DATA),
        supported
    );
}

#[test]
fn features_without_a_permission_are_not_supported() {
    for number in 0..18 {
        let feature = Feature::from_component(number);
        assert_eq!(
            xcomp::request(feature),
            Err(Error::NotSupported),
            "component {number}"
        );
        assert_eq!(
            xcomp::request_guest(feature),
            Err(Error::NotSupported),
            "component {number}"
        );
    }
}

#[test]
fn numbers_that_are_no_feature_are_not_known() {
    for number in [64, 1 << 32 | 18, u64::MAX] {
        let feature = Feature::from_component(number);
        assert_eq!(
            xcomp::request(feature),
            Err(Error::NotKnown),
            "component {number}"
        );
        assert_eq!(
            xcomp::request_guest(feature),
            Err(Error::NotKnown),
            "component {number}"
        );
    }
}
