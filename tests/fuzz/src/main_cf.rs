//! main.cf: nothing panics, what was read prints as itself, expansion ends, and an edit of one name leaves
//! the others alone.

use cf::Edit;

pub(crate) fn run(text: &[u8]) {
    let definitions = cf::parse("main.cf", text);
    let pairs: Vec<(&str, &str)> =
        definitions.list.iter().map(|one| (&*one.name, &*one.value)).collect();
    for definition in &definitions.list {
        let _ = cf::items(&definition.value).count();
        let Ok(template) = cf::Template::parse(&definition.value) else { continue };
        let printed = template.to_string();
        assert_eq!(cf::Template::parse(&printed).as_ref(), Ok(&template), "{printed}");
        let _ = template.expand(&definition.name, &cf::NoFunctions(&pairs));
    }
    if let Some((name, value)) = pairs.last() {
        edits(text, &pairs, name, value);
    }
}

/// The values of a file are logical lines, so each can be set again as one.
fn edits(text: &[u8], before: &[(&str, &str)], name: &str, value: &str) {
    let set = Edit::set(&format!("{name} = {value}"));
    for (edit, kept) in
        [(set, Some(value)), (Edit::remove(name), None), (Edit::comment_out(name), None)]
    {
        // A name may start with a #: not in a file, but in a request it would.
        let Ok(edit) = edit else { continue };
        let edited = cf::edit(text, &[edit]).text;
        let after = cf::parse("main.cf", &edited);
        let (mine, others): (Vec<_>, Vec<_>) = after
            .list
            .iter()
            .map(|one| (&*one.name, &*one.value))
            .partition(|(found, _)| *found == name);
        let others_before = before.iter().filter(|(other, _)| *other != name);
        assert!(others.iter().eq(others_before), "{}", edited.escape_ascii());
        // A line that had only the name, no `=`, has one now: there may be more than before.
        assert!(mine.iter().all(|(_, found)| Some(*found) == kept));
        assert_eq!(mine.is_empty(), kept.is_none());
    }
}
