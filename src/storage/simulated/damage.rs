//! What a test does to the bytes of a simulated disk behind everybody's back, and how it looks at them.
//!
//! Promises: none of this is a call, so it is neither counted nor failed; what is changed is changed in the cache and
//! durably; what is looked at is the cache, except for the fingerprint, which is of both.

use super::SimulatedDisk;
use super::image::Image;
use crate::chance::mix;
use std::io;

impl SimulatedDisk {
    /// The names that are there, in order.
    pub fn names(&self) -> Vec<String> {
        self.machine().state.cache.names.keys().map(|name| name.to_string()).collect()
    }

    /// All bytes of a file, as somebody who reads it sees them.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if it is not there.
    pub fn bytes(&self, name: &str) -> io::Result<Vec<u8>> {
        let machine = self.machine();
        let content = machine.state.cache.file(machine.state.find(name)?);
        let mut bytes = vec![0; content.size() as usize];
        content.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// Makes a file of these bytes, in place of the one of that name if there is one. It is durable at once.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if this can be no file's name.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        crate::storage::names::check(name)?;
        let state = &mut self.machine().state;
        let file = state.fresh_file();
        state.log.retain(|op| !op.names(name));
        for image in [&mut state.cache, &mut state.durable] {
            image.names.insert(name.into(), file);
            image.file_mut(file).write(bytes, 0);
        }
        Ok(())
    }

    /// Turns one bit over: bit 0 is the lowest of the first byte.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file, [`InvalidInput`](io::ErrorKind::InvalidInput) if it
    /// has not as many bits.
    ///
    /// ```
    /// use redeliver::storage::SimulatedDisk;
    ///
    /// let disk = SimulatedDisk::new();
    /// disk.put("journal", b"a")?;
    /// disk.flip("journal", 1)?;
    /// assert_eq!(disk.bytes("journal")?, b"c");
    /// assert!(disk.flip("journal", 8).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn flip(&self, name: &str, bit: u64) -> io::Result<()> {
        self.damage(name, bit / 8, 1, |bytes| bytes[0] ^= 1 << (bit % 8))
    }

    /// Writes over what is there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file, [`InvalidInput`](io::ErrorKind::InvalidInput) if it
    /// ends before that.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.damage(name, offset, bytes.len(), |old| old.copy_from_slice(bytes))
    }

    /// Cuts a file off, or lengthens it by zeros.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file.
    pub fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        let state = &mut self.machine().state;
        let file = state.find(name)?;
        for image in [&mut state.cache, &mut state.durable] {
            image.file_mut(file).resize(bytes.min(i64::MAX as u64));
        }
        Ok(())
    }

    /// Changes a stretch in both images; where the durable one ends before it, it is left alone.
    fn damage(&self, name: &str, offset: u64, len: usize, change: impl Fn(&mut [u8])) -> io::Result<()> {
        let state = &mut self.machine().state;
        let file = state.find(name)?;
        let is_within = |image: &Image| {
            let end = offset.checked_add(len as u64);
            end.is_some_and(|end| end <= image.file(file).size())
        };
        if !is_within(&state.cache) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "behind the end of the file"));
        }
        for image in [&mut state.cache, &mut state.durable] {
            if is_within(image) {
                let mut bytes = vec![0; len];
                image.file(file).read(&mut bytes, offset);
                change(&mut bytes);
                image.file_mut(file).write(&bytes, offset);
            }
        }
        Ok(())
    }

    /// A number that stands for every name and every byte, in the cache and durable: as long as it is the same, nothing has
    /// been changed.
    ///
    /// ```
    /// use redeliver::storage::{SimulatedDisk, Storage};
    ///
    /// let disk = SimulatedDisk::new();
    /// let before = disk.fingerprint();
    /// let file = disk.create("journal")?;
    /// let created = disk.fingerprint();
    /// assert_ne!(created, before);
    /// disk.flush_names()?; // what can be read is the same, and yet
    /// assert_ne!(disk.fingerprint(), created);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fingerprint(&self) -> u64 {
        let state = &self.machine().state;
        fingerprint(&state.durable, fingerprint(&state.cache, 0))
    }
}

fn fingerprint(image: &Image, so_far: u64) -> u64 {
    let mut print = mix(so_far ^ image.names.len() as u64);
    let mut add = |bytes: &[u8]| {
        print = mix(print ^ bytes.len() as u64);
        for word in bytes.chunks(8) {
            let mut eight = [0; 8];
            eight[..word.len()].copy_from_slice(word);
            print = mix(print ^ u64::from_le_bytes(eight));
        }
    };
    for (name, file) in &image.names {
        let content = image.file(*file);
        add(name.as_bytes());
        add(&content.size().to_le_bytes());
        for (block, bytes) in content.written() {
            add(&block.to_le_bytes());
            add(bytes);
        }
    }
    print
}
