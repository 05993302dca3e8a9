//! A reader of protobuf's text format, as far as the conformance files use it. Input: a file's text. Output: a tree of
//! fields; it knows no message type.

/// A message: its fields in order, repeated ones as often as they stand there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    fields: Vec<(String, Item)>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Message(Message),
    /// A number or a word, as written.
    Word(String),
    /// What stood in quotes.
    Quoted(Vec<u8>),
}

impl Message {
    pub(crate) fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m Item> {
        let named = self.fields.iter().filter(move |(field, _)| field == name);
        named.map(|(_, item)| item)
    }

    pub(crate) fn messages<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m Message> {
        self.all(name).filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Word(_) | Item::Quoted(_) => None,
        })
    }

    pub(crate) fn message(&self, name: &str) -> Option<&Message> {
        match self.one(name) {
            Some(Item::Message(message)) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn one(&self, name: &str) -> Option<&Item> {
        let mut named = self.fields.iter().filter(|(field, _)| field == name);
        named.next().map(|(_, item)| item)
    }

    /// The text of a field; none at all is the empty one, as in protobuf.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.one(name) {
            Some(Item::Quoted(bytes)) => String::from_utf8(bytes.clone()).expect("UTF-8"),
            _ => String::new(),
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.fields.iter().map(|(name, item)| (name.as_str(), item))
    }
}

/// Reads a file; panics with the line of what it does not understand.
pub(crate) fn read(text: &str) -> Message {
    let mut reader = Reader { text, at: 0 };
    let message = reader.message();
    reader.space();
    assert!(reader.at == text.len(), "{}", reader.place());
    message
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn place(&self) -> String {
        let line = self.text[..self.at].lines().count();
        let rest: String = self.text[self.at..].chars().take(40).collect();
        format!("line {line}, not understood: {rest}")
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn take(&mut self, what: char) -> bool {
        self.space();
        let there = self.rest().starts_with(what);
        if there {
            self.at += what.len_utf8();
        }
        there
    }

    fn word(&mut self) -> String {
        self.space();
        let other = |c: char| !(c.is_ascii_alphanumeric() || "_.+-".contains(c));
        let end = self.rest().find(other).unwrap_or(self.rest().len());
        assert!(end > 0, "{}", self.place());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    fn message(&mut self) -> Message {
        let mut fields = Vec::new();
        loop {
            self.space();
            if self.rest().is_empty() || self.rest().starts_with(['}', '>']) {
                return Message { fields };
            }
            let name = match self.take('[') {
                true => {
                    let end = self.rest().find(']').expect("an end of the name");
                    let name = self.rest()[..end].trim().to_owned();
                    self.at += end + 1;
                    name
                }
                false => self.word(),
            };
            self.take(':');
            if self.take('[') {
                while !self.take(']') {
                    fields.push((name.clone(), self.item()));
                    self.take(',');
                }
            } else {
                fields.push((name, self.item()));
            }
            let _separated = self.take(',') || self.take(';');
        }
    }

    fn item(&mut self) -> Item {
        for (open, close) in [('{', '}'), ('<', '>')] {
            if self.take(open) {
                let message = self.message();
                assert!(self.take(close), "{}", self.place());
                return Item::Message(message);
            }
        }
        match self.rest().starts_with(['"', '\'']) {
            true => {
                let mut bytes = Vec::new();
                // Pieces side by side are one.
                while self.rest().starts_with(['"', '\'']) {
                    self.quoted(&mut bytes);
                    self.space();
                }
                Item::Quoted(bytes)
            }
            false => Item::Word(self.word()),
        }
    }

    fn next(&mut self) -> char {
        let next = self.rest().chars().next().expect("an end of the quotes");
        self.at += next.len_utf8();
        next
    }

    /// The number in up to `most` digits of `radix`.
    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let digits = self.rest().chars().take(most);
        let count = digits.take_while(|c| c.is_digit(radix)).count();
        let number = u32::from_str_radix(&self.rest()[..count], radix);
        self.at += count;
        number.unwrap_or_else(|_| panic!("{}", self.place()))
    }

    fn quoted(&mut self, bytes: &mut Vec<u8>) {
        let quote = self.next();
        let put = |bytes: &mut Vec<u8>, c: char| {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        };
        loop {
            let next = self.next();
            if next == quote {
                return;
            }
            if next != '\\' {
                put(bytes, next);
                continue;
            }
            match self.next() {
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'a' => bytes.push(7),
                'b' => bytes.push(8),
                'f' => bytes.push(12),
                'v' => bytes.push(11),
                'x' | 'X' => bytes.push(self.digits(16, 2).to_le_bytes()[0]),
                'u' => {
                    let code = self.digits(16, 4);
                    put(bytes, char::from_u32(code).expect("a character"));
                }
                'U' => {
                    let code = self.digits(16, 8);
                    put(bytes, char::from_u32(code).expect("a character"));
                }
                '0'..='7' => {
                    self.at -= 1;
                    bytes.push(self.digits(8, 3).to_le_bytes()[0]);
                }
                other => put(bytes, other),
            }
        }
    }
}

#[test]
fn reads_the_text_format() {
    let read = read(
        "# a comment\nname: 'a\\'b\\x00\\303\\244\\u00e4' \"c\"\nlist: [1, -2.5]; empty {}\n\
         any: { [type.googleapis.com/x.Y] < n: NAN > }, flag: true",
    );
    assert_eq!(
        read.one("name"),
        Some(&Item::Quoted("a'b\0ääc".as_bytes().to_vec()))
    );
    let words: Vec<_> = read.all("list").cloned().collect();
    assert_eq!(words, ["1", "-2.5"].map(|word| Item::Word(word.to_owned())));
    assert_eq!(read.message("empty"), Some(&Message::default()));
    let any = read.message("any").expect("is there");
    let inner = any.message("type.googleapis.com/x.Y").expect("is there");
    assert_eq!(inner.one("n"), Some(&Item::Word("NAN".to_owned())));
    assert_eq!(read.one("flag"), Some(&Item::Word("true".to_owned())));
}
