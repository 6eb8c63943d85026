//! The page that describes the layouts.

#[test]
fn the_page_names_every_key() {
    let page = include_str!("../../../docs/layout.md");
    const OF_WORKFLOWS: &str = include_str!("../../../../redis-link/src/keys/step.rs");
    const OF_RUNS: &str = include_str!("../../../../redis-link/src/keys/run.rs");
    const OF_HOMES: &str = include_str!("../../../../redis-link/src/keys/home.rs");
    const OF_TOPICS: &str = include_str!("../../../../redis-link/src/keys/topic.rs");
    const OF_RETRIES: &str = include_str!("../../../../redis-link/src/keys/retry.rs");
    const OF_HANDOFFS: &str = include_str!("../../../../redis-link/src/keys/handoff.rs");
    let source = include_str!("../../../../redis-link/src/keys.rs");
    let source: String = [OF_WORKFLOWS, OF_RUNS, OF_HOMES, OF_TOPICS, OF_RETRIES, OF_HANDOFFS, source]
        .map(|source| source.split("#[cfg(test)]").next().unwrap())
        .concat();
    // The doc of a function begins with its key; the parts of queues and pools are given to a closure `key`.
    let documented = source.lines().filter_map(|line| line.trim().strip_prefix("/// `")?.split_once('`'));
    let documented = documented.map(|(key, _)| key).filter(|key| key.contains(':') && !key.contains('*'));
    let parts = source.split("key(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let lists = source.split("ready: [\"").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let lists = lists.split('"').filter(|part| part.starts_with("ready"));
    let keys: Vec<_> = documented.chain(parts).chain(lists).collect();
    assert!(keys.len() > 30 && keys.contains(&"ready3") && keys.contains(&"ns:layouts"), "{keys:?}");
    let is_named = |key: &&str| match key.strip_suffix(":…") {
        Some(pool) => page.contains(pool),
        None => {
            page.contains(&format!("`{key}`"))
                || page.contains(&format!("{key} "))
                || page.contains(&format!(":{key} "))
        }
    };
    let missing: Vec<_> = keys.into_iter().filter(|key| !is_named(key)).collect();
    assert!(missing.is_empty(), "docs/layout.md does not name {missing:?}");
}
