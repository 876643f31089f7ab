//! What holds for whatever stands in an alias file.

use aliases::{Destination, Entry, destinations};
use proptest::prelude::*;

const TEXT: &str = "([a-c/~|:,;<>()\\[\\]\"\\\\@%!. é\t]|:include:){0,24}";

proptest! {
    #[test]
    fn what_is_stored_reads_back_as_the_same_entry(line in TEXT) {
        if let Ok(entry) = Entry::parse(&line) {
            let stored = format!("{}:{}", entry.name, entry.value);
            prop_assert_eq!(Entry::parse(&stored), Ok(entry));
        }
    }

    #[test]
    fn a_value_has_the_same_destinations_before_and_after_it_is_stored(value in TEXT) {
        if let Ok(entry) = Entry::parse(&format!("name:{value}")) {
            prop_assert_eq!(destinations(&entry.value), destinations(&value));
        }
    }

    #[test]
    fn an_address_is_its_own_only_destination(value in TEXT) {
        for destination in destinations(&value) {
            if let Destination::Address(address) = &destination {
                prop_assert!(!address.is_empty());
                // What is inside a group or brackets can be nothing that stands by itself.
                if !value.contains(['<', '>', ';', ':', '|', '~']) {
                    prop_assert_eq!(destinations(address), vec![destination]);
                }
            }
        }
    }
}
