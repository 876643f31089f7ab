//! Virtual aliases: one recipient becomes others (postfix `src/cleanup/cleanup_map1n.c`).

use config::Extension;
use hashbrown::HashSet;
use mail::Address;
use smallvec::{SmallVec, smallvec};

use crate::canonical::same_text;
use crate::find::{Maps, unquoted};
use crate::rewriter::{Mapping, Rewriter};
use crate::temporary::Temporary;
use crate::trace::{Step, Trace};

/// Bytes of an unreasonable result that the log gets to see.
const SHOWN_BYTES: usize = 300;

const PARAMETER: &str = "virtual_alias_maps";

impl Rewriter {
    /// The recipients that a recipient stands for; itself where it is no alias. Some may be there twice.
    ///
    /// An address that is found in its own expansion is not replaced again, so that `user` may be `user`
    /// and somebody else. All that goes on without an end is put off, not bounced: the table will be put
    /// right.
    pub async fn expand<T: Trace>(
        &self,
        recipient: &Address,
        mapping: Mapping,
        trace: &mut T,
    ) -> Result<SmallVec<[Address; 1]>, Temporary> {
        let rules = &self.settings.rewriting;
        let list = &rules.virtual_alias_maps;
        if list.is_empty() || mapping == Mapping::Off {
            return Ok(smallvec![recipient.clone()]);
        }
        let maps = Maps { parameter: PARAMETER, list };
        let Some(first) = self.aliases_of(maps, recipient.as_str(), trace).await? else {
            return Ok(smallvec![recipient.clone()]);
        };
        let mut expansion = Expansion::default();
        expansion.addresses.push(recipient.as_str().into());
        expansion.take(0, first);
        let mut place = 0;
        // How often what stands at this place was replaced.
        let mut count = 1;
        while place < expansion.addresses.len() {
            let limit = rules.virtual_alias_expansion_limit;
            if expansion.addresses.len() > limit {
                return Err(Temporary::Expansion { address: recipient.as_str().into(), limit });
            }
            loop {
                let address = &expansion.addresses[place];
                if expansion.is_finished(address) {
                    break;
                }
                let limit = rules.virtual_alias_recursion_limit;
                if count >= limit {
                    return Err(Temporary::Recursion { address: recipient.as_str().into(), limit });
                }
                let Some(aliases) = self.aliases_of(maps, address, trace).await? else { break };
                expansion.take(place, aliases);
                count += 1;
            }
            place += 1;
            count = 0;
        }
        expansion.into_addresses()
    }

    async fn aliases_of<T: Trace>(
        &self,
        maps: Maps<'_>,
        address: &str,
        trace: &mut T,
    ) -> Result<Option<crate::map::Addresses>, Temporary> {
        let rules = &self.settings.rewriting;
        let propagate = rules.propagate_unmatched_extensions.has(Extension::Virtual);
        let Some(aliases) = self.map(maps, address, propagate, trace).await? else {
            return Ok(None);
        };
        let limit = rules.virtual_alias_address_length_limit;
        for alias in &aliases {
            if alias.len() > limit && unquoted(alias).len() > limit {
                let shown = alias.char_indices().take_while(|(at, _)| *at < SHOWN_BYTES);
                let result = shown.map(|(_, c)| c).collect::<String>().into();
                return Err(Temporary::Length { result, limit });
            }
            if T::STEPS {
                trace.step(Step::Rewritten { rule: PARAMETER, from: address, to: alias });
            }
        }
        Ok(Some(aliases))
    }
}

/// What a recipient has become so far.
#[derive(Default)]
struct Expansion {
    /// In external form.
    addresses: Vec<Box<str>>,
    /// In lower case, those that were found among their own aliases.
    finished: HashSet<String, foldhash::fast::RandomState>,
}

impl Expansion {
    /// Puts the first alias in the place of its address, and the others behind all that is there.
    fn take(&mut self, place: usize, aliases: crate::map::Addresses) {
        let mut aliases = aliases.into_iter();
        let Some(first) = aliases.next() else { return };
        let address = std::mem::replace(&mut self.addresses[place], first);
        let rest = self.addresses.len();
        self.addresses.extend(aliases);
        let new = std::iter::once(&self.addresses[place]).chain(&self.addresses[rest..]);
        if new.into_iter().any(|alias| same_text(&address, alias)) {
            self.finished.insert(address.to_lowercase());
        }
    }

    fn is_finished(&self, address: &str) -> bool {
        !self.finished.is_empty() && self.finished.contains(&address.to_lowercase())
    }

    fn into_addresses(self) -> Result<SmallVec<[Address; 1]>, Temporary> {
        let read = |external: Box<str>| {
            Address::parse(external.as_bytes()).map_err(|_| Temporary::NoAddress {
                parameter: PARAMETER,
                address: external.clone(),
                result: external,
            })
        };
        self.addresses.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::Unwatched;
    use crate::testing::{address, rewriter};

    fn expanded(main_cf: &str, text: &str) -> Result<Vec<String>, String> {
        let rewriter = rewriter(main_cf);
        let expanded = block_on(rewriter.expand(&address(text), Mapping::On, &mut Unwatched));
        expanded
            .map(|all| all.iter().map(ToString::to_string).collect())
            .map_err(|why| format!("{}: {why}", why.status()))
    }

    #[test]
    fn an_alias_is_replaced_by_all_it_stands_for() {
        let maps = "virtual_alias_maps = inline:{ { all@x.example = a, b@x.example (Bob), \
                    \"c d\"@x.example }, b@x.example=e@y.example, @old.example=@x.example, \
                    e@y.example=e@y.example }\nmyorigin = x.example\n";
        for (from, to) in [
            ("nobody@x.example", &["nobody@x.example"][..]),
            ("all@x.example", &["a@x.example", "e@y.example", "\"c d\"@x.example"]),
            ("all+ext@x.example", &["a+ext@x.example", "e+ext@y.example", "\"c d+ext\"@x.example"]),
            ("b@old.example", &["e@y.example"]),
            ("\"c d\"@old.example", &["\"c d\"@x.example"]),
            ("ALL@X.example", &["a@x.example", "e@y.example", "\"c d\"@x.example"]),
        ] {
            let expected: Vec<String> = to.iter().map(|&it| it.to_owned()).collect();
            assert_eq!(expanded(maps, from), Ok(expected), "{from}");
        }
    }

    #[test]
    fn quoted_names_are_looked_up_with_their_quotes() {
        let files = table::Memory::default().with("/v", b"\"a b\"@x.example q@x.example\n");
        let rewriter = crate::testing::rewriter_with("virtual_alias_maps = texthash:/v\n", &files);
        for (from, to) in
            [("\"a b\"@x.example", "q@x.example"), ("\"a b+ext\"@x.example", "q+ext@x.example")]
        {
            let all =
                block_on(rewriter.expand(&address(from), Mapping::On, &mut Unwatched)).unwrap();
            assert_eq!(all[0], address(to), "{from}");
        }
    }

    #[test]
    fn who_is_among_their_own_aliases_is_not_replaced_again() {
        let maps = "virtual_alias_maps = inline:{ { a@x.example = A@x.example, b@x.example }, \
                    { b@x.example = a@x.example } }\n";
        assert_eq!(
            expanded(maps, "a@x.example"),
            Ok(vec!["A@x.example".to_owned(), "a@x.example".to_owned()])
        );
    }

    #[test]
    fn what_has_no_end_is_put_off() {
        let maps =
            "virtual_alias_maps = inline:{ a@x.example=b@x.example, b@x.example=a@x.example }\n";
        assert_eq!(
            expanded(maps, "a@x.example"),
            Err("4.6.0: virtual_alias_maps: unreasonable nesting for a@x.example: replaced more than \
                 1000 times (virtual_alias_recursion_limit)"
                .to_owned())
        );
        // Each alias becomes two, of which both go on.
        let maps = "virtual_alias_maps = pcre:{ {/^(x+)@/ x$$1@x.example, y$$1@x.example} \
                    {/^(y+x+)@/ x$$1@x.example, y$$1@x.example} }\n\
                    virtual_alias_expansion_limit = 50\n";
        let why = expanded(maps, "x@x.example").unwrap_err();
        assert!(why.starts_with("4.6.0: virtual_alias_maps: unreasonable"), "{why}");
    }

    #[test]
    fn limits_are_reached_and_not_passed() {
        let chain: String =
            (0..5).map(|n| format!("c{n}@x.example=c{}@x.example, ", n + 1)).collect();
        let maps = format!("virtual_alias_maps = inline:{{ {chain} }}\n");
        let limited = |limit: usize| {
            expanded(&format!("{maps}virtual_alias_recursion_limit = {limit}\n"), "c0@x.example")
        };
        assert_eq!(limited(6), Ok(vec!["c5@x.example".to_owned()]));
        assert!(limited(5).is_err());
        let members: Vec<String> = (0..4).map(|n| format!("m{n}@x.example")).collect();
        let maps = format!(
            "virtual_alias_maps = inline:{{ {{ l@x.example = {} }} }}\n",
            members.join(", ")
        );
        let limited = |limit: usize| {
            expanded(&format!("{maps}virtual_alias_expansion_limit = {limit}\n"), "l@x.example")
        };
        assert_eq!(limited(4), Ok(members));
        assert!(limited(3).is_err());
        let maps = "virtual_alias_maps = inline:{ l@x.example=long@x.example }\n";
        let limited = |limit: usize| {
            expanded(
                &format!("{maps}virtual_alias_address_length_limit = {limit}\n"),
                "l@x.example",
            )
        };
        assert!(limited(14).is_ok());
        assert!(limited(13).unwrap_err().contains("longer than 13 bytes"));
    }

    #[test]
    fn a_table_that_is_away_is_temporary_and_nobody_is_lost() {
        let maps = "virtual_alias_maps = inline:{ { a@x.example = b@x.example, c@x.example } } texthash:/none\n";
        let why = expanded(maps, "a@x.example").unwrap_err();
        assert!(why.starts_with("4.3.0: virtual_alias_maps: table texthash:/none: "), "{why}");
    }
}
