use std::path::Path;

use store_validation::environment_table_markdown;

#[test]
fn the_table_in_the_readme_is_the_table_in_the_code() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = readme.split_once("<!-- environment:begin -->\n").expect("README.md has the begin marker");
    let (table, _) = rest.split_once("<!-- environment:end -->").expect("README.md has the end marker");
    assert_eq!(
        table.trim(),
        environment_table_markdown().trim(),
        "put the output of `cargo xtask config-check --variables` between the markers"
    );
}
