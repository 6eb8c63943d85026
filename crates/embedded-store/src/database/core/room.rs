//! Whether there is room for operations that add, while the file is full.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use store_core::{Op, Role};
use tokio::sync::oneshot;

use super::{Core, RETRY_WHEN_FULL};
use crate::database::member::Call;
use crate::expiring;
use crate::file::RESERVE;
use crate::rows::{self, Change};

/// How many bytes a cache on a full disk evicts in one transaction.
const FORGOTTEN_AT_A_TIME: u64 = 128 << 10;

/// Up to how many rows the free pages of a full file are counted.
const MOST_ROWS_COUNTED: u64 = 100_000;

impl Core {
    /// Whether operations that add are refused because there is no room.
    pub(super) fn is_full(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_full())
    }

    /// Whether there is room again for operations that add, on the disk or inside the file.
    pub(super) fn has_room(&self) -> bool {
        self.has_freed_enough() || self.has_room_again() || self.has_free_pages() || self.has_forgotten_enough()
    }

    /// Whether as many bytes were removed inside the file as its reserve had.
    fn has_freed_enough(&self) -> bool {
        self.freed.load(Ordering::Relaxed) >= RESERVE.cast_signed()
    }

    /// Whether the file has more free pages than those of the reserve: a process that died before this one opened the
    /// file may have drained it. Counting reads every page in use. So it is skipped if there are many rows, which must
    /// be removed first, and takes at most a twentieth of the time.
    fn has_free_pages(&self) -> bool {
        let mut count_from = self.count_from.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        if begun < *count_from {
            return false;
        }
        let counted = catch_unwind(AssertUnwindSafe(|| self.free_bytes())).unwrap_or(Err(redb::Error::DatabaseClosed));
        *count_from = Instant::now() + RETRY_WHEN_FULL.max(20 * begun.elapsed());
        match counted {
            Ok(free) => {
                // Rows take more space than their bytes: a part is released, then counted again.
                let beyond = free.saturating_sub(2 * RESERVE) / 4;
                if beyond > 0 {
                    self.freed.fetch_max((RESERVE + beyond).cast_signed(), Ordering::Relaxed);
                }
            }
            // After a failure redb refuses everything.
            Err(_) => {
                self.recover();
            }
        }
        self.has_freed_enough()
    }

    /// How many bytes the free pages inside the file have; 0 if there are too many rows to count them.
    fn free_bytes(&self) -> std::result::Result<u64, redb::Error> {
        let transaction = {
            let redb = self.redb.read().unwrap_or_else(PoisonError::into_inner);
            redb.as_ref().ok_or(redb::Error::DatabaseClosed)?.begin_write()?
        };
        let free = match (&self.file, rows::count(&transaction)?) {
            (Some(file), ..=MOST_ROWS_COUNTED) => {
                let stats = transaction.stats()?;
                let used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
                file.len_of_pages()?.saturating_sub(used)
            }
            _ => 0,
        };
        transaction.abort()?;
        Ok(free)
    }

    /// Whether a cache has evicted enough. It evicts the entries that expire soonest, few at a time so that the reserve
    /// is enough.
    fn has_forgotten_enough(&self) -> bool {
        if self.file.as_ref().is_none_or(|file| file.role() == Role::State) {
            return false;
        }
        for _ in 0..2 * RESERVE / FORGOTTEN_AT_A_TIME {
            let (reply, _) = oneshot::channel();
            let apply = |change: &mut Change<'_>| expiring::make_room(change, FORGOTTEN_AT_A_TIME);
            if self
                .attempt(&mut [Box::new(Call {
                    operation: Op::KeyValueDeleteMany.into(),
                    apply,
                    outcome: None,
                    reply,
                })])
                .is_err()
            {
                self.recover();
                return false;
            }
            if self.has_freed_enough() {
                return true;
            }
        }
        false
    }

    fn has_room_again(&self) -> bool {
        let has_room = self.file.as_ref().is_some_and(|file| file.make_reserve().unwrap_or(false));
        if has_room {
            self.freed.store(0, Ordering::Relaxed);
        }
        has_room
    }
}
