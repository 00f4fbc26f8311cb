//! The on-disk form of the lock.
