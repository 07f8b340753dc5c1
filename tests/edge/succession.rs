//! The folder of strategies is read again: what is taken over, and what is kept.

use std::fs;
use std::path::Path;

use rebalanced::edge::strategies::{Catalog, Changes, load_dir};
use rebalanced::model::ids::StrategyName;
use tempfile::TempDir;

fn text(name: &str, spy: u32) -> String {
    format!(
        "name = \"{name}\"\n[schedule]\nevery = \"session\"\n[[weights]]\nsymbol = \"SPY\"\npercent = {spy}\n[cash]\npercent = {}\n",
        100 - spy
    )
}

fn again(old: &Catalog, folder: &Path) -> (Catalog, Changes) {
    let (next, faults) = load_dir(folder).unwrap();
    old.succeeded_by(next, faults)
}

fn names(names: &[StrategyName]) -> Vec<&str> {
    names.iter().map(StrategyName::as_str).collect()
}

/// Added, changed, removed, kept.
fn told(changes: &Changes) -> [Vec<&str>; 4] {
    [&changes.added, &changes.changed, &changes.removed, &changes.kept].map(|all| names(all))
}

fn version(catalog: &Catalog, name: &str) -> String {
    catalog.get(&StrategyName::parse(name).unwrap()).unwrap().version().as_str().to_owned()
}

/// A folder with two strategies, one of a list, and one made of the first two.
fn folder() -> (TempDir, Catalog) {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.toml", &text("a", 60));
    write("b.toml", &text("b", 50));
    write("list.csv", "SPY,60\nAGG,40\n");
    write("l.toml", "name = \"l\"\n[schedule]\nevery = \"session\"\n[model]\nkind = \"csv\"\nfile = \"list.csv\"\n");
    write(
        "s.toml",
        "name = \"s\"\n[schedule]\nevery = \"session\"\n[model]\nkind = \"sleeves\"\n\
         [[model.sleeves]]\nstrategy = \"a\"\npercent = 50\n[[model.sleeves]]\nstrategy = \"b\"\npercent = 50\n",
    );
    let (catalog, faults) = load_dir(folder.path()).unwrap();
    assert!(faults.is_empty() && catalog.len() == 4, "{faults:?}");
    (folder, catalog)
}

const NONE: Vec<&str> = Vec::new();

#[test]
fn what_did_not_change_is_not_told() {
    let (folder, catalog) = folder();
    let (next, changes) = again(&catalog, folder.path());
    assert_eq!((changes, next.len()), (Changes::default(), 4));
}

#[test]
fn an_edited_sleeve_is_a_new_version_of_itself_and_of_its_holder() {
    let (folder, catalog) = folder();
    fs::write(folder.path().join("a.toml"), text("a", 70)).unwrap();
    fs::write(folder.path().join("c.toml"), text("c", 10)).unwrap();
    fs::remove_file(folder.path().join("l.toml")).unwrap();
    let (next, changes) = again(&catalog, folder.path());
    assert_eq!(told(&changes), [vec!["c"], vec!["a", "s"], vec!["l"], NONE]);
    assert_ne!(version(&catalog, "s"), version(&next, "s"));
}

#[test]
fn a_file_that_is_invalid_now_keeps_its_version_until_it_is_mended() {
    for (file, wrong, name, kept) in [
        ("a.toml", "name = ", "a", vec!["a", "s"]),
        ("a.toml", &text("a", 60).replace("60", "61") as &str, "a", vec!["a", "s"]),
        // Which of the two is meant nobody knows.
        ("a.toml", &text("b", 60), "a", vec!["a", "b", "s"]),
        ("list.csv", "SPY,60\nAGG,41\n", "l", vec!["l"]),
        ("s.toml", &text("s", 60).replace("SPY", "S P Y"), "s", vec!["s"]),
    ] {
        let (folder, catalog) = folder();
        let path = folder.path().join(file);
        let right = fs::read_to_string(&path).unwrap();
        fs::write(&path, wrong).unwrap();
        let (next, changes) = again(&catalog, folder.path());
        assert_eq!(told(&changes), [NONE, NONE, NONE, kept.clone()], "{file}: {wrong}");
        assert!(!changes.refused.is_empty() && next.len() == 4, "{changes:?}");
        assert_eq!(version(&next, name), version(&catalog, name));
        // Read once more it is still kept, and mended it is what it was.
        let (next, changes) = again(&next, folder.path());
        assert_eq!(names(&changes.kept), kept, "{file}: {wrong}");
        fs::write(&path, right).unwrap();
        assert_eq!(again(&next, folder.path()).1, Changes::default());
    }
    // A list that is gone makes its strategy invalid; it does not end it.
    let (folder, catalog) = folder();
    fs::remove_file(folder.path().join("list.csv")).unwrap();
    assert_eq!(told(&again(&catalog, folder.path()).1), [NONE, NONE, NONE, vec!["l"]]);
}

#[test]
fn a_file_with_another_name_of_its_own_and_a_strategy_in_another_file() {
    let (folder, catalog) = folder();
    fs::remove_file(folder.path().join("s.toml")).unwrap();
    let (catalog, _) = again(&catalog, folder.path());
    fs::write(folder.path().join("a.toml"), text("z", 60)).unwrap();
    fs::rename(folder.path().join("b.toml"), folder.path().join("bb.toml")).unwrap();
    let (next, changes) = again(&catalog, folder.path());
    assert_eq!(told(&changes), [vec!["z"], NONE, vec!["a"], NONE]);
    assert_eq!(version(&next, "b"), version(&catalog, "b"), "the same text in another file is the same");
}
