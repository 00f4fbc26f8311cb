//! The same work for many things, on several threads.

use std::num::NonZero;
use std::sync::Mutex;

/// What `work` gives for each of `jobs`, in their order, on at most `most` threads and no more than the machine has.
pub fn map<T: Sync, R: Send>(jobs: &[T], most: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let queue = Mutex::new(jobs.iter().enumerate());
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(most).min(jobs.len()) {
            scope.spawn(|| {
                while let Some((at, job)) = queue.lock().ok().and_then(|mut q| q.next()) {
                    let result = work(job);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_keep_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..100).collect();
        assert_eq!(
            map(&jobs, 4, |n| n * 2),
            (0..200).step_by(2).collect::<Vec<_>>()
        );
        assert!(map(&[] as &[u64], 4, |n| *n).is_empty());
    }
}
