//! What only root can try: acting for others, files of others, file systems of its own.
//!
//! Without the usual harness, so that a run without root's rights says that it tried nothing.

mod post;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use mail::{Job, Status, Time};
use mailbox::{
    Creation, Identity, InUse, LockTimes, Locking, MailboxError, MaildirSettings, Maildirs,
    MboxSettings, Mboxes, Owner, SyncMode,
};
use post::{TEXT, deliver, job, letter, names, settings};

const ALICE: Owner = Owner { uid: 54_321, gid: 54_321 };
const BOB: Owner = Owner { uid: 54_322, gid: 54_322 };

fn main() {
    let tests: &[(&str, fn())] = &[
        ("mail is written as its owner and the thread is itself again", written_as_owner),
        ("an owner reaches nothing that is not his", nothing_of_others),
        ("nobody's mail is written as root", never_as_root),
        ("a mailbox whose owner may not write it is deferred", read_only),
        ("an mbox of somebody else is refused", mbox_of_others),
        ("a link that root made is followed and one of a user is not", links_of_root),
        ("a full disk defers, leaves nothing, and heals", full_disk),
        ("no inodes left defers and leaves nothing", no_inodes),
        ("a file system mounted beneath the base is synced by itself", other_file_system),
        ("one thread's rights are not another's", threads_are_apart),
    ];
    if !rustix::process::geteuid().is_root() {
        println!("not run, because they need root: {} tests of credentials", tests.len());
        return;
    }
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
}

/// A base that root owns, and one directory for each user beneath it.
fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
    for (name, owner) in [("alice", ALICE), ("bob", BOB)] {
        let home = base.path().join(name);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        chown(home, Some(owner.uid), Some(owner.gid)).unwrap();
    }
    base
}

fn every_way(base: &Path) -> [MaildirSettings; 4] {
    let ways = [
        (Creation::Unnamed, SyncMode::Batch),
        (Creation::Unnamed, SyncMode::File),
        (Creation::Renamed, SyncMode::Batch),
        (Creation::Renamed, SyncMode::File),
    ];
    ways.map(|(creation, sync)| MaildirSettings { creation, sync, ..settings(base) })
}

fn mboxes(base: &Path) -> Mboxes {
    let settings = MboxSettings {
        base: base.to_owned(),
        limit_bytes: 0,
        locking: Locking::default(),
        times: LockTimes::default(),
        strict_owner: true,
    };
    Mboxes::new(settings, InUse::new())
}

fn to_mbox(base: &Path, path: &str, owner: Owner) -> Result<(), MailboxError> {
    let identity = Identity::of_this_thread().unwrap();
    let job = job(1, 0);
    let mut acting = identity.act();
    mboxes(base).deliver(&mut acting, path, Some(owner), letter(&job, TEXT), Time::now())
}

fn assert_root() {
    let groups = rustix::process::getgroups().unwrap();
    assert!(rustix::process::geteuid().is_root() && rustix::process::getegid().is_root());
    assert!(!groups.iter().any(|gid| [ALICE.gid, BOB.gid].contains(&gid.as_raw())));
}

fn written_as_owner() {
    for way in 0..4 {
        let base = base();
        let mut maildirs = Maildirs::new(every_way(base.path())[way].clone());
        let identity = Identity::of_this_thread().unwrap();
        let jobs: Vec<Job> = (0..6).map(|n| job(n, 0)).collect();
        let mut batch = maildirs.batch(&identity);
        for (key, job) in jobs.iter().enumerate() {
            let (path, owner) = if key < 3 { ("alice/box/", ALICE) } else { ("bob/box/", BOB) };
            batch.add(key, path, Some(owner), letter(job, TEXT));
        }
        let results = batch.finish();
        assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
        assert_root();
        for (name, owner) in [("alice", ALICE), ("bob", BOB)] {
            let maildir = base.path().join(name).join("box");
            let new = maildir.join("new");
            assert_eq!(names(&new).len(), 3);
            for path in [&maildir, &new, &new.join(&names(&new)[0])] {
                let meta = fs::metadata(path).unwrap();
                assert_eq!((meta.uid(), meta.gid()), (owner.uid, owner.gid), "{path:?}");
            }
        }
        assert_eq!(to_mbox(base.path(), "alice/mbox", ALICE), Ok(()));
        assert_root();
        let meta = fs::metadata(base.path().join("alice/mbox")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (ALICE.uid, ALICE.gid));
    }
}

fn nothing_of_others() {
    for way in 0..4 {
        let base = base();
        let mut maildirs = Maildirs::new(every_way(base.path())[way].clone());
        assert_eq!(deliver(&mut maildirs, Some(BOB), &[(&job(1, 0), "bob/box/")]), [Ok(())]);
        for path in ["bob/box/", "bob/other/", "new/"] {
            let results = deliver(&mut maildirs, Some(ALICE), &[(&job(2, 0), path)]);
            let error = results[0].as_ref().unwrap_err();
            assert_eq!(error.status(), Status(4, 2, 0), "{path}: {error}");
            assert!(error.to_string().ends_with("Permission denied"), "{error}");
        }
        assert!(to_mbox(base.path(), "bob/mbox", ALICE).is_err());
        assert_eq!(names(base.path().join("bob")), ["box"]);
        assert_eq!(names(base.path().join("bob/box/new")).len(), 1);
        assert_root();
    }
}

fn never_as_root() {
    let base = base();
    let mut maildirs = Maildirs::new(settings(base.path()));
    for owner in
        [Owner { uid: 0, gid: 1 }, Owner { uid: 1, gid: 0 }, Owner { uid: u32::MAX, gid: 1 }]
    {
        let results = deliver(&mut maildirs, Some(owner), &[(&job(1, 0), "box/")]);
        assert!(matches!(results[0], Err(MailboxError::Identity { .. })), "{results:?}");
        assert_eq!(results[0].as_ref().unwrap_err().status(), Status(4, 3, 5));
    }
    assert_eq!(names(base.path()), ["alice", "bob"]);
}

fn read_only() {
    let base = base();
    let mut maildirs = Maildirs::new(settings(base.path()));
    assert_eq!(deliver(&mut maildirs, Some(ALICE), &[(&job(1, 0), "alice/box/")]), [Ok(())]);
    let new = base.path().join("alice/box/new");
    fs::set_permissions(&new, Permissions::from_mode(0o500)).unwrap();
    let letters = [(&job(2, 0), "alice/box/"), (&job(3, 0), "alice/good/")];
    let results = deliver(&mut maildirs, Some(ALICE), &letters);
    assert_eq!(results[0].as_ref().unwrap_err().status(), Status(4, 2, 0));
    assert_eq!(results[1], Ok(()));
    fs::set_permissions(&new, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(deliver(&mut maildirs, Some(ALICE), &letters), [Ok(()), Ok(())], "it heals");
    assert_eq!(names(new).len(), 2);
}

fn mbox_of_others() {
    let base = base();
    let mbox = base.path().join("alice/mbox");
    fs::write(&mbox, "").unwrap();
    // Bob's, but Alice could write it.
    chown(&mbox, Some(BOB.uid), Some(ALICE.gid)).unwrap();
    fs::set_permissions(&mbox, Permissions::from_mode(0o660)).unwrap();
    let error = to_mbox(base.path(), "alice/mbox", ALICE).unwrap_err();
    assert!(matches!(error, MailboxError::NotOwned(_)), "{error}");
    assert_eq!(fs::read(&mbox).unwrap(), b"");
    assert_eq!(names(base.path().join("alice")), ["mbox"], "no lock file stays behind");
}

fn links_of_root() {
    let base = base();
    symlink("alice", base.path().join("linked")).unwrap();
    symlink("../bob", base.path().join("alice/tobob")).unwrap();
    rustix::fs::chownat(
        rustix::fs::CWD,
        base.path().join("alice/tobob"),
        Some(rustix::process::Uid::from_raw(ALICE.uid)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let mut maildirs = Maildirs::new(settings(base.path()));
    let results = deliver(&mut maildirs, Some(ALICE), &[(&job(1, 0), "linked/box/")]);
    assert_eq!(results, [Ok(())]);
    assert_eq!(names(base.path().join("alice/box/new")).len(), 1);
    let results = deliver(&mut maildirs, Some(BOB), &[(&job(2, 0), "alice/tobob/box/")]);
    assert!(results[0].is_err());
    fs::set_permissions(base.path().join("alice"), Permissions::from_mode(0o755)).unwrap();
    let results = deliver(&mut maildirs, Some(BOB), &[(&job(2, 0), "alice/tobob/box/")]);
    assert!(matches!(results[0], Err(MailboxError::Symlink(_))), "{results:?}");
    assert_eq!(names(base.path().join("bob")), [] as [&str; 0]);
    assert_eq!(to_mbox(base.path(), "linked/mbox", ALICE), Ok(()));
}

/// A small file system in memory, for as long as it lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("mode=755,uid={},gid={},{options}", ALICE.uid, ALICE.gid);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

fn full_disk() {
    for way in 0..4 {
        let disk = Mounted::tmpfs("size=512k");
        let mut maildirs = Maildirs::new(every_way(disk.path())[way].clone());
        assert_eq!(deliver(&mut maildirs, Some(ALICE), &[(&job(1, 0), "box/")]), [Ok(())]);
        assert_eq!(to_mbox(disk.path(), "mbox", ALICE), Ok(()));
        let mbox = fs::read(disk.path().join("mbox")).unwrap();
        let filler = disk.path().join("filler");
        let full = (1..200).find(|n| fs::write(&filler, vec![0; n * 4096]).is_err());
        assert!(full.is_some(), "512 KiB are full");

        let results = deliver(&mut maildirs, Some(ALICE), &[(&job(2, 0), "box/")]);
        assert_eq!(results[0].as_ref().unwrap_err().status(), Status(4, 3, 0), "{results:?}");
        assert_eq!(names(disk.path().join("box/new")).len(), 1);
        assert_eq!(names(disk.path().join("box/tmp")), [] as [&str; 0]);
        let identity = Identity::of_this_thread().unwrap();
        let (job3, text) = (job(3, 0), b"A line of text\n".repeat(1000));
        let to_mbox = mboxes(disk.path()).deliver(
            &mut identity.act(),
            "mbox",
            Some(ALICE),
            letter(&job3, &text),
            Time::now(),
        );
        assert!(to_mbox.unwrap_err().status().is_transient());
        assert_eq!(fs::read(disk.path().join("mbox")).unwrap(), mbox, "cut back");

        fs::remove_file(filler).unwrap();
        assert_eq!(deliver(&mut maildirs, Some(ALICE), &[(&job(2, 0), "box/")]), [Ok(())]);
        assert_eq!(names(disk.path().join("box/new")).len(), 2);
    }
}

fn no_inodes() {
    for way in 0..4 {
        let disk = Mounted::tmpfs("nr_inodes=12");
        let mut maildirs = Maildirs::new(every_way(disk.path())[way].clone());
        let jobs: Vec<Job> = (0..20).map(|n| job(n, 0)).collect();
        let letters: Vec<_> = jobs.iter().map(|job| (job, "box/")).collect();
        let results = deliver(&mut maildirs, Some(ALICE), &letters);
        let delivered = results.iter().filter(|result| result.is_ok()).count();
        assert!((1..12).contains(&delivered), "{results:?}");
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(error.status(), Status(4, 3, 0), "{error}");
        }
        assert_eq!(names(disk.path().join("box/new")).len(), delivered);
        assert_eq!(names(disk.path().join("box/tmp")), [] as [&str; 0]);
    }
}

fn other_file_system() {
    let disk = Mounted::tmpfs("size=1m");
    let base = disk.path().parent().unwrap();
    let mailbox = format!("{}/box/", disk.path().file_name().unwrap().to_str().unwrap());
    let mut maildirs = Maildirs::new(settings(base));
    let jobs: Vec<Job> = (0..5).map(|n| job(n, 0)).collect();
    let letters: Vec<_> = jobs.iter().map(|job| (job, &*mailbox)).collect();
    let results = deliver(&mut maildirs, Some(ALICE), &letters);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(names(disk.path().join("box/new")).len(), 5);
}

fn threads_are_apart() {
    let identity = Identity::of_this_thread().unwrap();
    let mut acting = identity.act();
    acting.become_owner(Some(ALICE)).unwrap();
    assert_eq!(rustix::process::geteuid().as_raw(), ALICE.uid);
    assert_eq!(rustix::process::getgroups().unwrap().len(), 1);
    // A new thread starts as the one that made it is now; one that was there before is not changed.
    acting.become_owner(Some(BOB)).unwrap();
    assert_eq!(rustix::process::geteuid().as_raw(), BOB.uid);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _acting = acting;
        std::panic::resume_unwind(Box::new("a fault in the middle of a delivery"));
    }));
    assert!(panicked.is_err());
    assert_root();

    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        asked.recv().unwrap();
        tell.send(rustix::process::geteuid().is_root()).unwrap();
    });
    let mut acting = identity.act();
    acting.become_owner(Some(ALICE)).unwrap();
    ask.send(()).unwrap();
    assert!(told.recv().unwrap(), "the other thread is still root");
    drop(acting);
    other.join().unwrap();
    assert_root();
}
