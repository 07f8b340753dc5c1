//! The vault opens for the right owner with the right key, and for nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rebalanced::edge::entropy::Entropy;
use rebalanced::edge::vault::{Error, Owner, Vault, lies_in};
use rebalanced::model::ids::{GrantId, UserId};
use rebalanced::model::secret::{Sealed, Secret};
use tempfile::TempDir;

fn key_file(folder: &Path, bytes: &[u8], mode: u32) -> PathBuf {
    let path = folder.join(format!("key-{mode:o}-{}", bytes.len()));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn vault() -> (TempDir, Vault) {
    let folder = TempDir::new().unwrap();
    let vault = Vault::open(&key_file(folder.path(), &[7; 32], 0o600)).unwrap();
    (folder, vault)
}

/// A grant and the user who gave it.
fn owner(number: usize) -> Owner<'static> {
    let grant = Box::leak(Box::new(GrantId::parse(&format!("gra_{number}")).unwrap()));
    let user = Box::leak(Box::new(UserId::parse(&format!("usr_{number}")).unwrap()));
    Owner { grant, user }
}

/// Each ciphertext in each other row: the whole row exchanged, its grant alone, its user alone. The environment is a fact of
/// the account and not of the token, which may open both (facts 1.1): row 79 exchanges it.
#[test]
fn row_80_a_ciphertext_in_another_row_never_opens() {
    let (_folder, vault) = vault();
    let entropy = Entropy::seeded(1);
    let owners: Vec<Owner<'_>> = (0..101).map(owner).collect();
    let sealed: Vec<Sealed> = owners
        .iter()
        .enumerate()
        .map(|(number, owner)| vault.seal(*owner, &Secret::new(format!("token {number}")), &entropy).unwrap())
        .collect();
    let (mut swaps, mut open) = (0, 0);
    for (number, (sealed, mine)) in sealed.iter().zip(&owners).enumerate() {
        assert_eq!(vault.open_sealed(*mine, sealed).unwrap().expose(), format!("token {number}"));
        for other in owners.iter().filter(|other| other.grant != mine.grant) {
            for row in [*other, Owner { grant: other.grant, ..*mine }, Owner { user: other.user, ..*mine }] {
                let opened = vault.open_sealed(row, sealed);
                swaps += 1;
                open += usize::from(!matches!(opened, Err(Error::DoesNotOpen)));
            }
        }
    }
    println!("{swaps} swaps of rows, of grants alone and of users alone: {open} opened");
    assert_eq!((swaps, open), (30_300, 0));
}

#[test]
fn row_80_neither_grant_nor_user_nor_key_can_be_exchanged_alone() {
    let (_folder, vault) = vault();
    let entropy = Entropy::seeded(2);
    let (mine, other) = (owner(1), owner(2));
    let sealed = vault.seal(mine, &Secret::new("a token".to_owned()), &entropy).unwrap();
    for wrong in [Owner { user: other.user, ..mine }, Owner { grant: other.grant, ..mine }] {
        assert!(matches!(vault.open_sealed(wrong, &sealed), Err(Error::DoesNotOpen)));
    }
    // The data key of one row with the token of another: each opens at home only.
    let theirs = vault.seal(other, &Secret::new("another".to_owned()), &entropy).unwrap();
    let wrapped = 1 + 24 + 32 + 16;
    let mixed = [&sealed.bytes[..wrapped], &theirs.bytes[wrapped..]].concat();
    for owner in [mine, other] {
        let mixed = Sealed { bytes: mixed.clone(), ..sealed.clone() };
        assert!(matches!(vault.open_sealed(owner, &mixed), Err(Error::DoesNotOpen)));
    }
}

#[test]
fn a_rotation_seals_the_data_key_again_and_leaves_the_old_key_useless() {
    let folder = TempDir::new().unwrap();
    let entropy = Entropy::seeded(3);
    let (old_file, new_file) = (folder.path().join("old"), folder.path().join("new"));
    Vault::create_key_file(&old_file, &entropy).unwrap();
    Vault::create_key_file(&new_file, &entropy).unwrap();
    let old = Vault::open(&old_file).unwrap();
    let sealed = old.seal(owner(1), &Secret::new("a token".to_owned()), &entropy).unwrap();
    let both = Vault::open(&new_file).unwrap().and_previous(&old_file).unwrap();
    assert_eq!(both.open_sealed(owner(1), &sealed).unwrap().expose(), "a token", "while it lasts both open");
    let again = both.rewrap(owner(1), &sealed, &entropy).unwrap().expect("it was sealed with the old key");
    assert_eq!(again.bytes[73..], sealed.bytes[73..], "the token itself is not sealed again");
    assert_eq!(both.rewrap(owner(1), &again, &entropy).unwrap(), None, "twice is once");
    assert!(matches!(both.rewrap(owner(2), &sealed, &entropy), Err(Error::DoesNotOpen)));
    let new = Vault::open(&new_file).unwrap();
    assert_eq!(new.open_sealed(owner(1), &again).unwrap().expose(), "a token");
    assert!(matches!(old.open_sealed(owner(1), &again), Err(Error::OtherKey { .. })));
    let relabelled = Sealed { key_id: old.key_id().to_owned(), ..again };
    assert!(matches!(old.open_sealed(owner(1), &relabelled), Err(Error::DoesNotOpen)), "the old key opens nothing new");
}

#[test]
fn a_change_of_any_byte_or_length_is_noticed() {
    let (_folder, vault) = vault();
    let sealed = vault.seal(owner(1), &Secret::new("a token".to_owned()), &Entropy::seeded(1)).unwrap();
    for index in 0..sealed.bytes.len() {
        let mut changed = sealed.clone();
        changed.bytes[index] ^= 1;
        assert!(matches!(vault.open_sealed(owner(1), &changed), Err(Error::DoesNotOpen)), "byte {index}");
        let cut = Sealed { bytes: sealed.bytes[..index].to_vec(), ..sealed.clone() };
        assert!(matches!(vault.open_sealed(owner(1), &cut), Err(Error::DoesNotOpen)), "cut at {index}");
    }
}

#[test]
fn row_81_another_key_does_not_open_and_is_named() {
    let (folder, vault) = vault();
    let other = Vault::open(&key_file(folder.path(), "8f".repeat(32).as_bytes(), 0o400)).unwrap();
    let entropy = Entropy::system();
    let sealed = vault.seal(owner(1), &Secret::new("a token".to_owned()), &entropy).unwrap();
    let error = other.open_sealed(owner(1), &sealed).err().unwrap();
    let said = error.to_string();
    assert!(said.contains(vault.key_id()) && said.contains(other.key_id()), "{said}");
    let relabelled = Sealed { key_id: other.key_id().to_owned(), ..sealed.clone() };
    assert!(matches!(other.open_sealed(owner(1), &relabelled), Err(Error::DoesNotOpen)));
    let again = vault.seal(owner(1), &Secret::new("a token".to_owned()), &entropy).unwrap();
    assert_ne!(sealed.bytes, again.bytes, "a nonce is never used twice");
}

#[test]
fn d1_what_the_service_manager_hands_over_is_where_the_file_really_lies_and_not_what_its_name_says() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("credentials");
    fs::create_dir(&place).unwrap();
    let outside = key_file(folder.path(), &[7; 32], 0o440);
    let inside = key_file(&place, &[7; 32], 0o440);
    assert!(lies_in(&inside, &place));
    assert!(lies_in(&place.join("..").join("credentials").join(inside.file_name().unwrap()), &place));
    let around = place.join("..").join(outside.file_name().unwrap());
    assert!(around.starts_with(&place) && around.exists() && !lies_in(&around, &place), "by its name only");
    std::os::unix::fs::symlink(&outside, place.join("link")).unwrap();
    assert!(!lies_in(&place.join("link"), &place), "a link leads out of it");
    assert!(!lies_in(&place.join("nothing"), &place), "what is not there");
    // The vault itself: a name that begins as the service manager's and ends elsewhere needs a private mode like any other.
    let mut named = PathBuf::from("/run/credentials/../..");
    named.extend(outside.components().skip(1));
    if named.exists() {
        assert!(matches!(Vault::open(&named), Err(Error::Mode { mode: 0o440, .. })));
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = TempDir::new().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o606, 0o620, 0o601, 0o777] {
        let error = Vault::open(&key_file(folder.path(), &[7; 32], mode)).err().unwrap();
        assert!(matches!(error, Error::Mode { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("set it to 400 or 600"), "{error}");
    }
    for mode in [0o400, 0o600, 0o700] {
        Vault::open(&key_file(folder.path(), &[7; 32], mode)).unwrap();
    }
}

#[test]
fn a_file_that_holds_no_key_is_refused() {
    let folder = TempDir::new().unwrap();
    let hex = "5e".repeat(32);
    let good = [hex.clone(), format!("{hex}\n"), format!("{hex}\r\n"), hex.to_uppercase()];
    let ids: Vec<String> = good
        .iter()
        .map(|text| Vault::open(&key_file(folder.path(), text.as_bytes(), 0o600)).unwrap().key_id().to_owned())
        .collect();
    assert!(ids.iter().all(|id| id == &ids[0]), "one key, however it is written");
    for bad in [String::new(), "5e".repeat(31), "5e".repeat(33), "zz".repeat(32), format!("{hex}{hex}"), "x".repeat(31)]
    {
        let error = Vault::open(&key_file(folder.path(), bad.as_bytes(), 0o600)).err().unwrap();
        assert!(matches!(error, Error::Form { .. }), "{bad}: {error}");
    }
    assert!(matches!(Vault::open(&folder.path().join("absent")), Err(Error::File { .. })));
}

#[test]
fn a_new_key_file_is_its_owners_alone_and_never_replaces_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("vault.key");
    Vault::create_key_file(&path, &Entropy::system()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Vault::create_key_file(&path, &Entropy::system()), Err(Error::File { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    Vault::open(&path).unwrap();
}

#[test]
fn neither_key_nor_token_is_ever_printed() {
    let (_folder, vault) = vault();
    let sealed = vault.seal(owner(1), &Secret::new("canary-token".to_owned()), &Entropy::seeded(1)).unwrap();
    let shown = format!("{vault:?} {sealed:?} {:?}", vault.open_sealed(owner(1), &sealed));
    assert!(shown.contains("redacted") && !shown.contains("canary-token"), "{shown}");
    assert!(!shown.contains("7, 7, 7, 7"), "{shown}");
    let text = String::from_utf8_lossy(&sealed.bytes).into_owned();
    assert!(!text.contains("canary"));
}
