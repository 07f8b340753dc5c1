//! `[model]` in a strategy file: each kind is read, a fault names its place, and whatever belongs to a strategy is in its version.

use std::fs;
use std::path::Path;

use rebalanced::edge::strategies::{json_schema, load_dir, read_file};
use rebalanced::model::composition::{Composition, Glide};
use rebalanced::model::ids::StrategyName;
use rebalanced::model::money::Fraction;
use rebalanced::model::strategy::Strategy;
use tempfile::TempDir;

const HEAD: &str = "[schedule]\nevery = \"session\"\n";

/// A folder of files; a name that ends in `.toml` gets a name and a schedule on top.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let text = match name.strip_suffix(".toml") {
            Some(stem) => format!("name = \"{stem}\"\n{HEAD}{text}"),
            None => (*text).to_owned(),
        };
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn weights(strategy: &Strategy) -> Vec<String> {
    strategy
        .targets()
        .iter()
        .map(|target| format!("{} {}", target.symbol, target.weight.percent().normalize()))
        .collect()
}

fn read(folder: &TempDir, name: &str) -> Strategy {
    read_file(&folder.path().join(name)).unwrap_or_else(|faults| panic!("{faults:?}")).0
}

fn faults(folder: &TempDir, name: &str) -> String {
    let faults = read_file(&folder.path().join(name)).map(drop).unwrap_err();
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    text.join("\n").replace(&format!("{}/", folder.path().display()), "")
}

fn fraction(text: &str) -> Fraction {
    Fraction::parse(text).unwrap()
}

#[test]
fn equal_parts_make_a_whole_to_the_last_digit() {
    let three = "[model]\nkind = \"equal\"\nsymbols = [\"C\", \"A\", \"B\"]\n[cash]\npercent = 2\n";
    let folder = folder(&[("three.toml", three)]);
    let strategy = read(&folder, "three.toml");
    assert_eq!(weights(&strategy), ["A 32.6667", "B 32.6667", "C 32.6666"], "what is left goes to the first ones");
    assert!(strategy.is_resolved());
    for count in 1..=250 {
        let names: Vec<String> = (0..count).map(|n| format!("\"X{n}\"")).collect();
        let text = format!("[model]\nkind = \"equal\"\nsymbols = [{}]\n[cash]\npercent = 2.5\n", names.join(","));
        let folder = self::folder(&[("many.toml", &text)]);
        let strategy = read(&folder, "many.toml");
        let sum: Fraction = strategy.targets().iter().map(|target| target.weight).sum();
        assert_eq!(sum + strategy.cash(), Fraction::ONE, "{count}");
        let (least, most) =
            (strategy.targets().iter().map(|t| t.weight).min(), strategy.targets().iter().map(|t| t.weight).max());
        assert!(most.unwrap() - least.unwrap() <= fraction("0.000001"), "{count}");
    }
}

const LIST: &str = "[model]\nkind = \"csv\"\nfile = \"list.csv\"\n[cash]\npercent = 5\n";

#[test]
fn a_list_is_read_strictly_and_is_part_of_the_version() {
    let folder = folder(&[("a.toml", LIST), ("list.csv", "symbol,percent\n# large\nSPY,60.5\r\n\n BRK.B , 34.5\n")]);
    let path = folder.path().join("a.toml");
    let (strategy, kept) = read_file(&path).unwrap();
    assert_eq!(weights(&strategy), ["BRK.B 34.5", "SPY 60.5"]);
    assert!(kept.ends_with("# SPY,60.5\r\n# \n#  BRK.B , 34.5\n# "), "the list is kept with every run: {kept}");
    assert!(toml::from_str::<toml::Table>(&kept).is_ok(), "and is still the same file");
    assert_eq!(strategy.version().as_str(), hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&kept)));
    fs::write(folder.path().join("list.csv"), "SPY,60.4\nBRK.B,34.6\n").unwrap();
    assert_ne!(read(&folder, "a.toml").version(), strategy.version(), "an edited list is a new version");
    let catalog = load_dir(folder.path()).unwrap().0;
    assert!(catalog.text(&StrategyName::parse("a").unwrap()).unwrap().contains("# SPY,60.4"));
    let many = (0..500).map(|n| format!("N{n},0.19")).collect::<Vec<_>>().join("\n");
    fs::write(folder.path().join("list.csv"), many).unwrap();
    assert_eq!(read(&folder, "a.toml").targets().len(), 500);
    for (list, expected) in [
        ("SPY,60\nAGG,34\n", "list.csv:1:1: these 2 weights add up to 94%, not 95%; the difference is 1%"),
        ("SPY,60\nspy,35\n", "list.csv:2:1: `spy` is no symbol; write `SPY`"),
        ("SPY,60\nSPY,35\n", "list.csv:2:1: SPY has two weights, the other in line 1; add them up into one"),
        ("SPY,60\nAGG;35\n", "list.csv:2:1: `AGG;35` is no symbol"),
        ("SPY,60\nAGG,35%\n", "list.csv:2:1: the percent of AGG is `35%`; write a plain number"),
        ("SPY,60\nAGG\n", "list.csv:2:1: the percent of AGG is ``"),
        ("SPY,95\nAGG,0\n", "list.csv:2:1: the percent of AGG is `0`"),
        ("SPY,60\nAGG,34.9999999\n", "with at most six decimals"),
    ] {
        fs::write(folder.path().join("list.csv"), list).unwrap();
        assert!(faults(&folder, "a.toml").contains(expected), "{list}: {}", faults(&folder, "a.toml"));
    }
}

#[test]
fn no_list_outside_of_the_folder_is_ever_read() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("list.csv"), "SPY,95\n").unwrap();
    let elsewhere = outside.path().join("list.csv").display().to_string();
    for name in ["../list.csv", "/etc/passwd", ".list.csv", "sub/list.csv", "..\\list.csv", "list.txt", &elsewhere] {
        let text = LIST.replace("\"list.csv\"", &format!("'{name}'"));
        let folder = folder(&[("a.toml", &text)]);
        let said = faults(&folder, "a.toml");
        assert!(
            said.contains("a.toml:6:8: ") && said.contains("is not the plain name of a .csv file"),
            "{name}: {said}"
        );
    }
    let folder = folder(&[("a.toml", LIST)]);
    assert!(faults(&folder, "a.toml").contains("cannot be read"), "there is none");
    std::os::unix::fs::symlink(&elsewhere, folder.path().join("list.csv")).unwrap();
    assert!(faults(&folder, "a.toml").contains("is no plain file"), "a link could lead out of the folder");
}

const CORE: &str =
    "[[weights]]\nsymbol = \"SPY\"\npercent = 60\n[[weights]]\nsymbol = \"AGG\"\npercent = 30\n[cash]\npercent = 10\n";
const SATELLITE: &str = "[model]\nkind = \"equal\"\nsymbols = [\"QQQ\", \"SPY\", \"IWM\"]\n";
const BOTH: &str = "[model]\nkind = \"sleeves\"\n[[model.sleeves]]\nstrategy = \"core\"\npercent = 70\n[[model.sleeves]]\nstrategy = \"satellite\"\npercent = 25\n[cash]\npercent = 5\n";

#[test]
fn sleeves_are_resolved_exactly_and_their_versions_are_part_of_the_version() {
    let files = [("both.toml", BOTH), ("core.toml", CORE), ("satellite.toml", SATELLITE)];
    let folder = folder(&files);
    let strategy = read(&folder, "both.toml");
    // 0.7 * 60 + 0.25 * 33.3333 for SPY; the cash of the core is cash.
    assert_eq!(weights(&strategy), ["AGG 21", "IWM 8.33335", "QQQ 8.333325", "SPY 50.333325"]);
    assert_eq!(strategy.cash().percent().normalize().to_string(), "12");
    let sum: Fraction = strategy.targets().iter().map(|target| target.weight).sum();
    assert_eq!(sum + strategy.cash(), Fraction::ONE);
    let (catalog, faults) = load_dir(folder.path()).unwrap();
    assert!(faults.is_empty() && catalog.len() == 3, "{faults:?}");
    let loaded = catalog.get(&StrategyName::parse("both").unwrap()).unwrap();
    assert_eq!(
        (loaded.version(), weights(loaded)),
        (strategy.version(), weights(&strategy)),
        "both ways of reading agree"
    );
    let text = CORE.replace("= 60", "= 61").replace("= 30", "= 29");
    fs::write(folder.path().join("core.toml"), format!("name = \"core\"\n{HEAD}{text}")).unwrap();
    let edited = read(&folder, "both.toml");
    assert_ne!(edited.version(), strategy.version(), "an edited sleeve is a new version of its holder");
    let outer = "[model]\nkind = \"sleeves\"\n[[model.sleeves]]\nstrategy = \"both\"\npercent = 100\n";
    fs::write(folder.path().join("outer.toml"), format!("name = \"outer\"\n{HEAD}{outer}")).unwrap();
    assert_eq!(weights(&read(&folder, "outer.toml")), weights(&edited), "a sleeve in a sleeve");
}

#[test]
fn a_sleeve_that_cannot_be_used_makes_its_holder_faulty_and_nobody_else() {
    let holds = |other: &str| {
        format!("[model]\nkind = \"sleeves\"\n[[model.sleeves]]\nstrategy = \"{other}\"\npercent = 100\n")
    };
    let (a, b, c) = (holds("b"), holds("c"), holds("a"));
    let circle = folder(&[("a.toml", &a), ("b.toml", &b), ("c.toml", &c), ("core.toml", CORE)]);
    let said = faults(&circle, "a.toml");
    let expected =
        "a.toml:7:12: the sleeve `b` cannot be used: strategies hold each other in a circle: a -> b -> c -> a";
    assert!(said.contains(expected), "{said}");
    let (catalog, all) = load_dir(circle.path()).unwrap();
    assert_eq!((catalog.len(), all.len()), (1, 3), "the one that is not in the circle is untouched: {all:?}");
    let own = folder(&[("a.toml", &holds("a"))]);
    assert!(faults(&own, "a.toml").contains("in a circle: a -> a"));
    let deep: Vec<(String, String)> = (0..5).map(|n| (format!("s{n}.toml"), holds(&format!("s{}", n + 1)))).collect();
    let mut files: Vec<(&str, &str)> = deep.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("s5.toml", CORE));
    let deep = folder(&files);
    assert!(faults(&deep, "s0.toml").contains("sleeves lie deeper in each other than 3: s0 -> s1 -> s2 -> s3 -> s4"));
    assert_eq!(weights(&read(&deep, "s2.toml")), ["AGG 30", "SPY 60"], "three deep is deep enough");
    let broken = folder(&[("both.toml", BOTH), ("core.toml", CORE), ("satellite.toml", "[model]\nkind = \"equal\"\n")]);
    let said = faults(&broken, "both.toml");
    assert!(
        said.contains("the sleeve `satellite` cannot be used: no valid file of the folder is named `satellite`"),
        "{said}"
    );
    assert_eq!(load_dir(broken.path()).unwrap().0.len(), 1, "core alone");
    let twice = folder(&[("both.toml", BOTH), ("core.toml", CORE), ("satellite.toml", SATELLITE)]);
    fs::write(twice.path().join("z.toml"), format!("name = \"core\"\n{HEAD}{CORE}")).unwrap();
    assert!(faults(&twice, "both.toml").contains("two files of the folder are named `core`"));
    let fine = CORE.replace("percent = 60", "percent = 60.0000001").replace("percent = 30", "percent = 29.9999999");
    let fine = folder(&[("both.toml", BOTH), ("core.toml", &fine), ("satellite.toml", SATELLITE)]);
    assert!(faults(&fine, "both.toml").contains("more than six decimals"));
}

const GLIDE: &str = "[model]\nkind = \"glide\"\ndefault_target_year = 2045\n[[model.points]]\nyears_to_target = 0\nweights = { BND = 80, VTI = 19 }\n[[model.points]]\nyears_to_target = 20\nweights = { VTI = 90, \"BRK.B\" = 9 }\n[cash]\npercent = 1\n";
const CALM: &str =
    "[model]\nkind = \"min_variance\"\nsymbols = [\"A\", \"B\", \"C\"]\nwindow_days = 60\nmax_percent = 50\n";
const RISEN: &str = "[model]\nkind = \"momentum\"\nsymbols = [\"A\", \"B\", \"C\"]\ncount = 2\ndefensive = \"SHY\"\n";

#[test]
fn models_that_ask_for_a_day_are_read_and_have_a_universe_but_no_targets() {
    let files = [("glide.toml", GLIDE), ("calm.toml", CALM), ("risen.toml", RISEN)];
    let folder = folder(&files);
    let glide = read(&folder, "glide.toml");
    let universe = |strategy: &Strategy| strategy.universe().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(universe(&glide), ["BND", "BRK.B", "VTI"]);
    let Composition::Glide(Glide::Years { points, default_target_year }) = glide.composition() else { panic!() };
    assert_eq!((points[0].0, points[1].0, *default_target_year), (20, 0, 2045), "the most years first");
    let calm = read(&folder, "calm.toml");
    let Composition::MinVariance(it) = calm.composition() else { panic!() };
    assert_eq!((it.window_days, it.most), (60, fraction("0.5")));
    let risen = read(&folder, "risen.toml");
    let Composition::Momentum(it) = risen.composition() else { panic!() };
    assert_eq!((it.count, it.window_days, it.average_days), (2, 126, 200), "what stands in docs/strategies.md");
    assert_eq!(universe(&risen), ["A", "B", "C", "SHY"]);
    for strategy in [glide, calm, risen] {
        assert!(!strategy.is_resolved() && strategy.targets().is_empty(), "{}", strategy.name());
    }
}

#[test]
fn every_fault_of_a_model_names_its_place_and_its_mend() {
    let with = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        (
            with(CALM, "min_variance", "min_varience"),
            "a.toml:5:8: `min_varience` is no model.kind; the nearest is `min_variance`",
        ),
        (
            with(CALM, "window_days", "window_dayz"),
            "a.toml:7:1: unknown key `model.window_dayz`; the nearest known key is `window_days`",
        ),
        (with(CALM, "= 60", "= 19"), "a.toml:7:15: `model.window_days` is 19; write 20 or more"),
        (with(CALM, "= 60", "= 757"), "write a whole number from 0 to 756"),
        (
            with(CALM, "max_percent = 50", "max_percent = 30"),
            "3 symbols of at most 30% each hold 90% together, less than 100%; raise max_percent",
        ),
        (
            with(CALM, "max_percent = 50", "max_percent = 101"),
            "`model.max_percent` is 101; it is above 0 and at most 100",
        ),
        (
            with(CALM, "window_days = 60", "count = 2"),
            "`model.count` says nothing with kind = \"min_variance\"; remove it; this kind has `symbols`, `window_days`, `max_percent`",
        ),
        (with(CALM, "\"B\"", "\"A\""), "a.toml:6:17: A stands twice; name each symbol once"),
        (with(CALM, "\"B\"", "\"b\""), "`b` is no symbol; write `B`"),
        (with(CALM, "[\"A\", \"B\", \"C\"]", "[\"A\"]"), "`model.symbols` has 1 symbols; name at least 2"),
        (with(CALM, "symbols = [\"A\", \"B\", \"C\"]\n", ""), "a.toml:4:2: `model.symbols` is missing; add a line"),
        (with(CALM, "kind = \"min_variance\"\n", ""), "`model.kind` is missing"),
        (with(RISEN, "count = 2", "count = 4"), "`model.count` is 4, but there are 3 symbols"),
        (with(RISEN, "count = 2\n", ""), "`model.count` is missing; add a line `count = ...` here"),
        (with(RISEN, "SHY", "A"), "A is also one of `model.symbols`; take it out of one of the two"),
        (with(RISEN, "defensive = \"SHY\"\n", ""), "`model.defensive` is missing; add a line such as"),
        (
            with(GLIDE, "VTI = 19", "VTI = 18"),
            "these weights and [cash] add up to 99%, not 100%; change a weight or [cash]",
        ),
        (
            with(GLIDE, "VTI = 19", "VTI = 19.00001"),
            "the weight of VTI is 19.00001%; a weight is from 0 to 100, with at most four decimals",
        ),
        (
            with(GLIDE, "years_to_target = 20", "date = \"2030-01-01\""),
            "some points have a `date` and some `years_to_target`",
        ),
        (with(GLIDE, "years_to_target = 20", "years_to_target = 0"), "two points are for one day; keep one of the two"),
        (
            with(GLIDE, "years_to_target = 20\n", ""),
            "this point has no day of its own; write either `years_to_target` or `date`",
        ),
        (with(GLIDE, "default_target_year = 2045\n", ""), "points by `years_to_target` need a year to count from"),
        (
            with(GLIDE, "percent = 1", "percent = 0.99999"),
            "cash is 0.99999%; beside a [model] it has at most four decimals",
        ),
        (with(BOTH, "percent = 25", "percent = 24"), "the sleeves and [cash] add up to 99%, not 100%"),
        (with(BOTH, "\"satellite\"", "\"core\""), "core has two shares; add them up into one"),
        (format!("{RISEN}{CORE}"), "the file has both [[weights]] and [model]; keep one of the two"),
    ];
    for (text, expected) in cases {
        let folder = folder(&[("a.toml", &text)]);
        let said = faults(&folder, "a.toml");
        assert!(said.contains(expected), "{said}\nshould hold {expected}");
    }
}

#[test]
fn the_examples_show_every_kind_and_the_schema_knows_them() {
    let (catalog, _) = load_dir(Path::new("strategies")).unwrap();
    let shown: Vec<&str> = catalog.iter().map(|strategy| strategy.composition().kind()).collect();
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let model = &schema["properties"]["model"]["properties"];
    for kind in model["kind"]["enum"].as_array().unwrap() {
        assert!(shown.contains(&kind.as_str().unwrap()), "{kind} has an example");
    }
    assert!(model["sleeves"]["items"]["properties"]["percent"]["description"].is_string());
    assert!(model["points"]["items"]["properties"]["weights"]["additionalProperties"].is_object());
}
