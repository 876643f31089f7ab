//! A process that runs out of descriptors. In a binary of its own: the limit is the process's.

mod post;

use mail::Job;
use mailbox::Maildirs;
use post::{deliver, job, names, settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_batch_that_runs_out_of_descriptors_is_delivered_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let mut maildirs = Maildirs::new(settings(dir.path()));
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(32), ..before }).unwrap();
    let jobs: Vec<Job> = (0..200).map(|n| job(n, 0)).collect();
    let letters: Vec<_> = jobs.iter().map(|job| (job, "u/")).collect();
    let results = deliver(&mut maildirs, None, &letters);
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(names(dir.path().join("u/new")).len(), 200);
}
