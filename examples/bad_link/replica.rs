//! The far side: keeps a record once, whatever arrives twice, and answers each with its id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub struct Replica {
    pub records: HashMap<u64, Vec<u8>>,
    pub duplicates: u32,
}

pub fn serve(mut stream: TcpStream, replica: &Mutex<Replica>) -> io::Result<()> {
    loop {
        let (id, length) = (read_number(&mut stream)?, read_number(&mut stream)?);
        let mut bytes = vec![0; length as usize];
        stream.read_exact(&mut bytes)?;
        let mut replica = replica.lock().unwrap_or_else(PoisonError::into_inner);
        match replica.records.entry(id) {
            Entry::Vacant(place) => drop(place.insert(bytes)),
            Entry::Occupied(_) => replica.duplicates += 1, // it has it: only the answer was lost
        }
        drop(replica);
        stream.write_all(&id.to_be_bytes())?;
    }
}

pub fn read_number(stream: &mut TcpStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).map(|()| u64::from_be_bytes(bytes))
}
