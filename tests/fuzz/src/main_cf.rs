//! main.cf: nothing panics, what was read prints as itself, and expansion ends.

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
}
