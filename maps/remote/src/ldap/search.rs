//! One question: a search, and those that its entries lead to.

use ldap3::{DerefAliases, Ldap, LdapError, LdapResult, Scope, SearchEntry, SearchOptions};

use super::entry::{Attributes, Entry};
use super::{SERVER_TIME_LIMIT, url};
use crate::desk::{Fault, RESULT_BYTES_MAX, Values};

/// noSuchObject (RFC 4511 section 4.1.9)
const NO_SUCH_OBJECT: u32 = 32;

/// How to search.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) attributes: Attributes,
    /// Entries of one search; zero is no limit.
    pub(crate) size_limit: usize,
    /// How many entries may lead to one another.
    pub(crate) recursion_limit: usize,
    pub(crate) dereference: DerefAliases,
}

/// A search still to be made.
struct Step {
    base: String,
    scope: Scope,
    filter: String,
    attributes: Vec<String>,
    depth: usize,
    /// Whether the base need not be there.
    may_be_missing: bool,
}

impl Search {
    /// All values, those of further entries behind those of the entry that led to them.
    pub(crate) async fn run(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
        may_be_missing: bool,
    ) -> Result<Values, Fault> {
        let mut steps = vec![Step {
            base: base.to_owned(),
            scope,
            filter: filter.to_owned(),
            attributes: self.attributes.names(),
            depth: 1,
            may_be_missing,
        }];
        let (mut values, mut bytes) = (Values::new(), 0);
        while let Some(step) = steps.pop() {
            let mut further = Vec::new();
            for entry in self.entries(ldap, &step, &mut bytes).await? {
                let sorted = self.attributes.sort(entry);
                values.extend(sorted.results.into_iter().map(Some));
                for value in sorted.further {
                    further.extend(self.step_to(&value, step.depth + 1)?);
                }
            }
            if !further.is_empty() && step.depth >= self.recursion_limit {
                return Err(Fault::refused(format_args!(
                    "entries lead to one another more than {} times (recursion_limit)",
                    self.recursion_limit
                )));
            }
            steps.extend(further.into_iter().rev());
        }
        Ok(values)
    }

    /// The search that a special value asks for; `None` where nothing could come of it.
    fn step_to(&self, value: &[u8], depth: usize) -> Result<Option<Step>, Fault> {
        let value =
            std::str::from_utf8(value).map_err(|_| Fault::refused("a DN that is not UTF-8"))?;
        let step = match url::parse(value) {
            None => Step {
                base: value.to_owned(),
                scope: Scope::Base,
                filter: "(objectClass=*)".to_owned(),
                attributes: self.attributes.names(),
                depth,
                may_be_missing: true,
            },
            Some(url) => {
                let url = url.map_err(Fault::refused)?;
                Step {
                    attributes: self.attributes.pertinent(&url.attributes),
                    base: url.base,
                    scope: url.scope,
                    filter: url.filter,
                    depth,
                    may_be_missing: true,
                }
            }
        };
        Ok((!step.attributes.is_empty()).then_some(step))
    }

    async fn entries(
        &self,
        ldap: &mut Ldap,
        step: &Step,
        bytes: &mut usize,
    ) -> Result<Vec<Entry>, Fault> {
        let options = SearchOptions::new()
            .deref(self.dereference)
            .timelimit(i32::try_from(SERVER_TIME_LIMIT.as_secs()).unwrap_or(0))
            .sizelimit(i32::try_from(self.size_limit).unwrap_or(0));
        // The library wants what libldap makes of a bare filter.
        let filter = match step.filter.starts_with('(') {
            true => step.filter.clone(),
            false => format!("({})", step.filter),
        };
        let mut stream = ldap
            .with_search_options(options)
            .streaming_search(&step.base, step.scope, &filter, step.attributes.clone())
            .await
            .map_err(fault)?;
        let mut entries = Vec::new();
        while let Some(found) = stream.next().await.map_err(fault)? {
            // References to other servers are for those who chase them.
            if found.is_ref() || found.is_intermediate() {
                continue;
            }
            let SearchEntry { attrs, bin_attrs, .. } = SearchEntry::construct(found);
            let text = attrs
                .into_iter()
                .map(|(name, values)| (name, values.into_iter().map(String::into_bytes).collect()));
            let entry: Entry = text.chain(bin_attrs).collect();
            *bytes +=
                entry.iter().flat_map(|(_, values)| values).map(|it| it.len() + 1).sum::<usize>();
            if *bytes > RESULT_BYTES_MAX {
                return Err(Fault::too_large());
            }
            entries.push(entry);
            if self.size_limit > 0 && entries.len() > self.size_limit {
                return Err(Fault::refused(format_args!(
                    "more than {} entries (size_limit)",
                    self.size_limit
                )));
            }
        }
        let result = stream.finish().await;
        match result.rc {
            0 => Ok(entries),
            NO_SUCH_OBJECT if step.may_be_missing => Ok(Vec::new()),
            _ => Err(Fault::refused(format_args!("search: {}", words(&result)))),
        }
    }
}

/// What a server says of a failure.
pub(crate) fn words(result: &LdapResult) -> String {
    let mut words = result.to_string();
    words.truncate(words.find(", dn: ").unwrap_or(words.len()));
    if !result.text.is_empty() {
        words = format!("{words}: {}", result.text);
    }
    words
}

pub(crate) fn fault(error: LdapError) -> Fault {
    match error {
        LdapError::LdapResult { result } => Fault::refused(words(&result)),
        LdapError::FilterParsing => Fault::refused("the filter cannot be read"),
        error => Fault::lost(error),
    }
}
