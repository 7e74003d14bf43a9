//! Reading Rust, as far as the rules need it: code without comments and literals, and the paths in it.

use super::*;

pub(crate) struct File {
    /// Below `src`, with `/`.
    pub(crate) name: String,
    pub(crate) text: String,
    /// `text` with comments and literals blanked, byte for byte.
    pub(crate) code: String,
}

impl File {
    pub(crate) fn new(name: &str, text: &str) -> File {
        File { name: name.into(), text: text.into(), code: blank(text) }
    }

    /// The room that the file belongs to: its folder, or itself.
    pub(crate) fn room(&self) -> &str {
        let end = self.name.find(['/', '.']).unwrap_or(self.name.len());
        &self.name[..end]
    }

    pub(crate) fn at(&self, byte: usize) -> String {
        format!("src/{}:{}", self.name, self.text[..byte].matches('\n').count() + 1)
    }

    /// Where `word` stands in the code, not as part of a longer one.
    pub(crate) fn finds<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            !is_word(self.code[..at].chars().next_back()) && !is_word(self.code[at + word.len()..].chars().next())
        })
    }
}

/// Comments, strings and characters become spaces; line breaks and byte positions stay.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end] {
            *byte = if *byte == b'\n' { b'\n' } else { b' ' };
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("whole characters were blanked")
}

/// Where the comment or literal ends that begins at `at`; `at` if none does.
pub(crate) fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |from: usize, end: &[u8]| {
        let found = bytes[from..].windows(end.len()).position(|window| window == end);
        found.map_or(bytes.len(), |n| from + n + end.len())
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let in_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |n| at + n);
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut here) = (1, at + 2);
        while depth > 0 && here < bytes.len() {
            match &bytes[here..] {
                [b'/', b'*', ..] => (depth, here) = (depth + 1, here + 2),
                [b'*', b'/', ..] => (depth, here) = (depth - 1, here + 2),
                _ => here += 1,
            }
        }
        return here;
    }
    if !in_word && (rest.starts_with(b"r") || rest.starts_with(b"br")) {
        let from = at + if rest[0] == b'b' { 2 } else { 1 };
        let hashes = bytes[from..].iter().take_while(|&&byte| byte == b'#').count();
        if bytes.get(from + hashes) == Some(&b'"') {
            return find(from + hashes + 1, &[b"\"", &b"#".repeat(hashes)[..]].concat());
        }
    }
    if rest[0] == b'"' {
        let mut here = at + 1;
        while here < bytes.len() && bytes[here] != b'"' {
            here += if bytes[here] == b'\\' { 2 } else { 1 };
        }
        return (here + 1).min(bytes.len());
    }
    // A character, not a lifetime: it is closed after one character or an escape.
    if rest[0] == b'\'' {
        let text = std::str::from_utf8(&rest[1..]).unwrap_or_default();
        if text.starts_with('\\') {
            return find(at + 3, b"'");
        }
        let mut chars = text.chars();
        if let (Some(c), Some('\'')) = (chars.next(), chars.next()) {
            return at + 2 + c.len_utf8();
        }
    }
    at
}

/// What the crate root re-exports: its name there, and the room that it comes from.
pub(crate) fn exports(lib: &File) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for at in lib.finds("pub use") {
        let path = lib.code[at + "pub use".len()..].trim_start();
        let room: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        for name in leaves(&path[room.len()..]) {
            names.insert(name, room.clone());
        }
    }
    names
}

/// The names right behind a path: `::a::b` is `a`, `::{a, b::c}` is `a` and `b`.
pub(crate) fn leaves(rest: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || "_*".contains(*c)).collect();
    let Some(rest) = rest.trim_start().strip_prefix("::").map(str::trim_start) else { return Vec::new() };
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut names, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[begin..at]));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name: &String| !name.is_empty());
    names
}

/// Every path from the crate root: where it stands, and its first name. `super` is followed as far as the root.
pub(crate) fn paths(file: &File) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in file.finds("crate") {
        found.extend(leaves(&file.code[at + "crate".len()..]).into_iter().map(|name| (at, vec![name])));
    }
    let folders = file.name.matches('/').count();
    let is_root_of_folder = file.name.ends_with("/mod.rs") || file.name == "lib.rs";
    let depth_of_file = folders + usize::from(!is_root_of_folder);
    for at in file.finds("super") {
        if file.code[..at].trim_end().ends_with("::") || file.code[..at].trim_end().ends_with("(") {
            continue; // in the middle of a chain, or pub(super)
        }
        let (mut rest, mut ups) = (&file.code[at..], 0);
        while let Some(next) = rest.trim_start().strip_prefix("super") {
            ups += 1;
            let Some(behind) = next.trim_start().strip_prefix("::") else { break };
            rest = behind;
        }
        // As many steps as there are modules around lead to the root.
        if ups == depth_of_file + modules_around(&file.code, at) {
            let behind = format!("::{}", rest.trim_start());
            found.extend(leaves(&behind).into_iter().filter(|name| name != "*").map(|name| (at, vec![name])));
        }
    }
    found
}

/// How many `mod name {` are open at `at`.
pub(crate) fn modules_around(code: &str, at: usize) -> usize {
    let mut open = Vec::new();
    for (here, c) in code[..at].char_indices() {
        match c {
            '{' => {
                let named = code[..here].trim_end().trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
                open.push(named.trim_end() != named && named.trim_end().ends_with("mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}
