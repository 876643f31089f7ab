//! What holds for tables, keys and networks whatever the input is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use table::order::{ACCESS, ACCESS_PARENTS, TRANSPORT, VIRTUAL};
use table::{Answer, Keys, MatchList, Memory, Network, Table, Tables, block_on};

proptest! {
    #[test]
    fn a_text_table_answers_as_the_pairs_it_was_written_from(
        pairs in prop::collection::vec(("[a-cA-C@.é]{1,4}", "[a-z/]{1,5}"), 0..20),
        asked in "[a-cA-C@.é]{1,4}",
    ) {
        let mut first: HashMap<String, &str> = HashMap::new();
        let mut text = String::new();
        for (key, value) in &pairs {
            first.entry(key.to_lowercase()).or_insert(value);
            text.push_str(&format!("{key}\t{value}\n# a comment\n"));
        }
        let table = Table::open("texthash:/t", &Memory::default().with("/t", text));
        let expected = match first.get(&asked.to_lowercase()) {
            Some(value) => Answer::Found((*value).into()),
            None => Answer::NotFound,
        };
        prop_assert_eq!(block_on(table.lookup(&asked).answer()), expected);
        prop_assert_eq!(table.notes().len(), pairs.len() - first.len());
    }

    #[test]
    fn keys_begin_with_the_address_and_come_to_an_end(
        address in "[ab+@.\\-\"é]{0,12}",
        delimiters in "[+\\-é]{0,2}",
        own in any::<bool>(),
    ) {
        for forms in [VIRTUAL, TRANSPORT, ACCESS, ACCESS_PARENTS] {
            let mut keys = Keys::new(forms, &address, &delimiters).for_own_domain(own);
            prop_assert_eq!(keys.next(), Some(&*address));
            let mut count = 0;
            while let Some(key) = keys.next() {
                prop_assert!(key == "*" || key.chars().all(|c| address.contains(c)), "{}", key);
                count += 1;
                prop_assert!(count <= 20);
            }
        }
    }

    #[test]
    fn a_network_reads_back_as_it_is_printed_and_has_its_own_base(
        bits in any::<u128>(),
        length in 0u32..=128,
        v4 in any::<bool>(),
    ) {
        let (address, length) = match v4 {
            true => (IpAddr::V4(Ipv4Addr::from_bits(bits as u32)), length % 33),
            false => (IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 127)), length),
        };
        let network: Network = match format!("{address}/{length}").parse() {
            Ok(network) => network,
            Err(table::NetworkError::HostBits(network)) => network,
            Err(why) => return Err(TestCaseError::fail(why.to_string())),
        };
        prop_assert!(network.contains(address));
        prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
    }

    #[test]
    fn no_list_and_no_table_name_makes_anything_panic(text in "[ -~\n]{0,40}", name in "[ -~]{0,20}") {
        let files = Memory::default().with("/a", text.clone().into_bytes());
        let tables = Tables::new(&files);
        let list = MatchList::open("mynetworks", &text, &tables);
        let client = IpAddr::from([127, 0, 0, 1]);
        let _ = block_on(list.has(&name));
        let _ = block_on(list.has_client(&name, client, table::Parents::Dotted));
        let _ = block_on(table::MapList::open(&text, &tables).find(TRANSPORT, &name, "+"));
    }
}
