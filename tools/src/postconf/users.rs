//! Which names are somebody's, because a value mentions them; and what is odd about values and names on the
//! way (postfix `src/postconf/postconf_user.c`).

use std::collections::{BTreeMap, BTreeSet};

use cf::Template;
use config::obsolete::is_legacy;

use super::space::{Space, is_read_only};
use super::{Ended, databases, warning};

/// A name that a value mentions.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    /// The service whose value it is; `None` is main.cf.
    scope: Option<usize>,
    name: String,
    /// It may be there or not: one of the parameters that a table can have.
    is_of_table: bool,
}

impl Space {
    /// Looks through all values, and gives warnings about them. With `about_files`, also about names in the
    /// files of tables that mean nothing there.
    pub(crate) fn find_users(&mut self, about_files: bool) -> Result<(), Ended> {
        let mut mentions = BTreeSet::new();
        let mut files = BTreeSet::new();
        for scope in (0..self.services.len()).map(Some).chain([None]) {
            self.drop_read_only(scope);
            for (name, value) in self.own_values(scope) {
                if is_legacy(&name) {
                    // It is listed now.
                    self.user.insert(name.clone());
                }
                self.mentions_of(scope, &name, &value, &mut mentions, &mut files)?;
            }
        }
        for (kind, file) in files {
            databases::check_file(kind, &file, about_files)?;
        }
        for mention in mentions {
            self.mentioned(mention);
        }
        Ok(())
    }

    /// What nobody can set is as if it were not set.
    fn drop_read_only(&mut self, scope: Option<usize>) {
        let path = self.directory.join(file_of(scope));
        let path = path.display();
        let set = self.own_values(scope).into_iter().filter(|(name, _)| is_read_only(name));
        for (name, value) in set {
            warning(format_args!("{path}: read-only parameter assignment: {name}={value}"));
            if let Some(at) = scope {
                self.services[at].parameters.remove(&name);
            }
        }
    }

    /// What main.cf or a service sets itself.
    fn own_values(&self, scope: Option<usize>) -> BTreeMap<String, String> {
        match scope {
            Some(at) => self.services[at].parameters.clone(),
            None => {
                let all = self.settings.all_defined();
                all.map(|one| (one.name.to_string(), one.value.to_string())).collect()
            }
        }
    }

    fn mentions_of(
        &self,
        scope: Option<usize>,
        name: &str,
        value: &str,
        mentions: &mut BTreeSet<Mention>,
        files: &mut BTreeSet<(&'static str, String)>,
    ) -> Result<(), Ended> {
        let service = scope.map(|at| &self.services[at]);
        if self.is_raw(name) || is_read_only(name) {
            return Ok(());
        }
        let mut mention = |name: &str, is_of_table| {
            mentions.insert(Mention { scope, name: name.to_owned(), is_of_table });
        };
        if let Ok(template) = Template::parse(value) {
            template.names(&mut |name| mention(name, false));
        }
        if name == "smtpd_restriction_classes" {
            let classes = self.expanded(name, value, service)?;
            // Braces mean nothing here.
            let names = classes.split([',', ' ', '\t', '\r', '\n']);
            names.filter(|name| !name.is_empty()).for_each(|name| mention(name, false));
        }
        if !self.is_builtin(name) || is_legacy(name) || !value.contains([':', '$', '{', '#']) {
            return Ok(());
        }
        let value = self.expanded(name, value, service)?;
        let found = databases::find(&value);
        let path = self.directory.join(file_of(scope));
        let path = path.display();
        for odd in found.odd {
            match service {
                Some(service) => {
                    warning(format_args!("{path}:{}: {odd}", service.entry.name_space()));
                }
                None => warning(format_args!("{path}: {odd}")),
            }
        }
        for (kind, table) in found.tables {
            for suffix in databases::suffixes(kind) {
                mention(&format!("{table}_{suffix}"), true);
            }
        }
        files.extend(found.files.into_iter().map(|(kind, file)| (kind, file.to_owned())));
        Ok(())
    }

    /// Whoever gave the name a value has a user for it. A name that nobody knows is remembered.
    fn mentioned(&mut self, mention: Mention) {
        let Mention { scope, name, is_of_table } = mention;
        let mut known = is_of_table || self.is_builtin(&name);
        // What a service says itself is not main.cf's.
        let is_own = scope.is_some_and(|at| self.services[at].parameters.contains_key(&name));
        if !is_own && self.set(&name).is_some() {
            known = true;
            self.user.insert(name.clone());
        }
        for (number, service) in self.services.iter_mut().enumerate() {
            let in_scope = scope.is_none_or(|at| at == number);
            if in_scope && service.parameters.contains_key(&name) {
                known = true;
                service.user.insert(name.clone());
            }
        }
        if !known {
            self.undefined.insert((file_of(scope), name));
        }
    }
}

fn file_of(scope: Option<usize>) -> &'static str {
    if scope.is_some() { "master.cf" } else { "main.cf" }
}
