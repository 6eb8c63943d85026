use crate::resp::frame_end;

/// Finds the ends of requests in what a client sends.
#[derive(Default)]
pub(super) struct Requests {
    /// The begin of a request whose end has not come yet; already forwarded.
    pending: Vec<u8>,
    /// Set once something else than arrays came: from then on each chunk stands for itself.
    opaque: bool,
}

impl Requests {
    /// Takes the next chunk. When a request that ends in it satisfies `matches`, returns the position in the chunk
    /// behind that request; what follows is then forgotten.
    pub(super) fn find(&mut self, chunk: &[u8], mut matches: impl FnMut(&[u8]) -> bool) -> Option<usize> {
        let forwarded = self.pending.len();
        self.pending.extend_from_slice(chunk);
        let mut start = 0;
        while !self.opaque && start < self.pending.len() {
            match frame_end(&self.pending, start) {
                Ok(Some(end)) if self.pending[start] == b'*' => {
                    if matches(&self.pending[start..end]) {
                        return Some(end - forwarded);
                    }
                    start = end;
                }
                Ok(None) if self.pending[start] == b'*' => break,
                _ => self.opaque = true,
            }
        }
        self.pending.drain(..start);
        if self.opaque {
            self.pending.clear();
            return matches(chunk).then_some(chunk.len());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Requests;
    use crate::resp::encode;

    fn wanted(request: &[u8]) -> bool {
        request.ends_with(b"wanted\r\n")
    }

    #[test]
    fn a_request_is_found_at_its_end_however_it_is_split() {
        let before = encode(&["SET", "wanted", "x"]);
        let request = encode(&["SET", "x", "wanted"]);
        let stream = [before.clone(), request.clone(), before.clone()].concat();
        for size in 1..=stream.len() {
            let mut requests = Requests::default();
            let found = stream
                .chunks(size)
                .enumerate()
                .find_map(|(index, chunk)| requests.find(chunk, wanted).map(|end| index * size + end));
            assert_eq!(found, Some(before.len() + request.len()), "in chunks of {size}");
        }
    }

    #[test]
    fn what_is_no_array_is_matched_chunk_by_chunk() {
        let mut requests = Requests::default();
        assert_eq!(requests.find(b"\x16\x03\x01", wanted), None);
        assert_eq!(requests.find(b"INCR wanted\r\n", wanted), Some(13));
    }
}
