use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> AddressList {
    AddressList::parse(text.as_bytes(), usize::MAX)
}

fn written(text: &str) -> String {
    String::from_utf8(parsed(text).written()).unwrap()
}

fn internals(text: &str) -> Vec<String> {
    let list = parsed(text);
    list.internals().map(|it| String::from_utf8(it).unwrap()).collect()
}

#[test]
fn addresses_are_found_whatever_stands_around_them() {
    for (text, addresses) in [
        ("user@example.com", &["user@example.com"][..]),
        ("User Name <user@example.com>", &["user@example.com"]),
        ("\"Name, User\" <user@example.com>, b@c", &["user@example.com", "b@c"]),
        ("user@example.com (a comment)", &["user@example.com"]),
        ("user (a) @ (b) example . com", &["user@example.com"]),
        ("friends: a@b, c@d;, e@f", &["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", &[]),
        ("\"us er\"@example.com", &["us er@example.com"]),
        ("<@a,@b:user@c>", &["@a,@b:user@c"]),
        ("user@[192.0.2.1]", &["user@[192.0.2.1]"]),
        ("<>", &[]),
        ("", &[]),
        ("(only a comment)", &[]),
        // What is missing is put right: two addresses without a comma between them.
        ("a@b c@d", &["a@b", "c@d"]),
        ("a b", &["a", "b"]),
        ("<a@b> <c@d>", &["a@b", "c@d"]),
        ("a@b, , ,c@d,", &["a@b", "c@d"]),
        ("a <b", &["a<b"]),
        ("a b>", &["ab"]),
        (":::", &[":::"]),
    ] {
        assert_eq!(internals(text), addresses, "{text}");
    }
}

#[test]
fn a_list_is_written_in_one_form() {
    for (text, form) in [
        ("User  Name<user@example.com>", "User Name <user@example.com>"),
        ("user@example.com(comment)", "user@example.com (comment)"),
        ("user (a) @ (b) example . com", "user@example.com (a) (b)"),
        ("friends:a@b,c@d;", "friends: a@b, c@d;"),
        ("a@b c@d", "a@b, c@d"),
        ("us\\ er@example.com", "\"us er\"@example.com"),
        ("\"a \\\" b\" <c@d>", "\"a \\\" b\" <c@d>"),
        ("undisclosed-recipients:;", "undisclosed-recipients: ;"),
        ("user@[ 192.0.2.1 ]", "user@[ 192.0.2.1 ]"),
        ("<>", "<>"),
    ] {
        assert_eq!(written(text), form, "{text}");
    }
}

#[test]
fn what_is_replaced_keeps_its_name_and_comments() {
    let mut list = parsed("\"Name, User\" <user> (home), other@example.com (x)");
    assert_eq!(list.external(0), b"user");
    list.replace(0, b"\"us er\"@example.com");
    assert!(list.is_changed());
    assert_eq!(
        String::from_utf8(list.written()).unwrap(),
        "\"Name, User\" <\"us er\"@example.com>(home), other@example.com (x)"
    );
    assert_eq!(list.internal(0), b"us er@example.com");
}

#[test]
fn a_header_holds_as_many_addresses_on_a_line_as_fit() {
    let addresses: Vec<String> = (0..7).map(|n| format!("user{n}@example.com")).collect();
    let list = parsed(&addresses.join(","));
    assert_eq!(
        String::from_utf8(list.header(b"To")).unwrap(),
        "To: user0@example.com, user1@example.com, user2@example.com,\n\
         \tuser3@example.com, user4@example.com, user5@example.com,\n\tuser6@example.com"
    );
}

#[test]
fn with_too_much_around_it_only_the_address_is_left() {
    let name = "n".repeat(NON_ADDRESS_BYTES_MAX);
    assert_eq!(written(&format!("{name} <a@b>, c@d")), "<a@b>, c@d");
    let name = "n".repeat(NON_ADDRESS_BYTES_MAX - 3);
    assert_eq!(written(&format!("{name} <a@b>")), format!("{name} <a@b>"));
    let comment = "c".repeat(NON_ADDRESS_BYTES_MAX);
    assert_eq!(written(&format!("({comment})")), format!("({comment})"), "no address is lost");
    assert_eq!(written(&format!("{comment} <>")), "<>");
}

#[test]
fn what_is_beyond_the_limit_stays_as_it_is() {
    let mut list = AddressList::parse(b"a@b, c@d,  e <f>,\n g ", 8);
    assert_eq!(list.len(), 2);
    assert_eq!(list.rest(), b"e <f>,\n g ");
    list.replace(0, b"x@y");
    assert_eq!(list.written(), b"x@y, c@d,  e <f>,\n g");
}

#[test]
fn hostile_lists_take_time_in_proportion() {
    let deep = format!("{}{} a@b", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(internals(&deep), ["a@b"]);
    for hostile in
        ["<", ">", "\"", ":", ";", "(", ",", "[", "<>", "a<", ":;", "a:b;", ">;", "\\", "a "]
    {
        let text = hostile.repeat(200_000);
        let list = parsed(&text);
        assert!(list.len() <= text.len());
        assert!(list.written().len() <= 4 * text.len() + 16, "{hostile}");
    }
    assert_eq!(parsed(&"user@example.com, ".repeat(100_000)).len(), 100_000);
}

/// Texts in which everything that means something is frequent.
fn lists() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::sample::select(b"ab.@@,,<>()[]:;\"\\%! \n\t\xc3\xa9\x00".to_vec());
    prop::collection::vec(bytes, 0..40)
}

proptest! {
    #[test]
    fn any_list_is_read(text in lists(), tokens_max in 0usize..40) {
        let mut list = AddressList::parse(&text, tokens_max);
        for number in 0..list.len() {
            let external = list.external(number);
            list.replace(number, &external);
        }
        list.header(b"To");
    }

    #[test]
    fn what_is_written_is_read_as_the_same_addresses(
        mailboxes in prop::collection::vec(("[a-z \"\\\\@.,]{1,8}", "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}", "[a-z ,.()]{0,8}"), 1..6)
    ) {
        let externals: Vec<(String, String)> = mailboxes.iter().map(|(local, domain, name)| {
            let internal = format!("{local}@{domain}");
            let external = String::from_utf8(quote_local(internal.as_bytes()).into_owned()).unwrap();
            (internal, format!("\"{name}\" <{external}>"))
        }).collect();
        let text: Vec<&str> = externals.iter().map(|(_, it)| it.as_str()).collect();
        let wanted: Vec<&str> = externals.iter().map(|(it, _)| it.as_str()).collect();
        let list = parsed(&text.join(","));
        let read: Vec<String> =
            list.internals().map(|it| String::from_utf8(it).unwrap()).collect();
        prop_assert_eq!(&read, &wanted);
        let again = AddressList::parse(&list.written(), usize::MAX);
        let read: Vec<String> =
            again.internals().map(|it| String::from_utf8(it).unwrap()).collect();
        prop_assert_eq!(&read, &wanted);
        prop_assert_eq!(again.written(), list.written());
        // Folding changes spaces only.
        let header = list.header(b"To");
        let unfolded = AddressList::parse(&header[3..], usize::MAX);
        prop_assert_eq!(unfolded.written(), list.written());
    }
}
