//! The resources of a file, `{-# dialect_resources: { builtin: { key: "0x.." } } #-}`: found when the first is asked for.

use std::collections::HashMap;

use super::Parser;
use super::cursor::Result;

/// Names of blobs, and their hexadecimal text with `0x`.
pub(super) type Resources<'a> = HashMap<Vec<u8>, &'a [u8]>;

impl<'a> Parser<'a> {
    /// The text of a resource.
    pub fn resource(&mut self, key: &[u8]) -> Result<Option<&'a [u8]>> {
        if self.resources.is_none() {
            self.resources = Some(Resources::new());
            if let Some(start) = self.resources_at {
                let resume = std::mem::replace(&mut self.c.pos, start);
                let read = self.read_resources();
                self.c.pos = resume;
                read?;
            }
        }
        Ok(self.resources.as_ref().and_then(|r| r.get(key)).copied())
    }

    /// From `{-#` to past `#-}`.
    pub fn read_resources(&mut self) -> Result<()> {
        let mut found = Resources::new();
        self.c.expect("{-#")?;
        while !self.c.eat("#-}") {
            let section = self.key()?;
            self.c.expect(":")?;
            self.c.expect("{")?;
            while !self.c.eat("}") {
                // The dialect that owns the blobs; for external resources, whoever wrote them.
                self.key()?;
                self.c.expect(":")?;
                self.c.expect("{")?;
                while !self.c.eat("}") {
                    let key = self.key()?;
                    self.c.expect(":")?;
                    if self.c.peek() == b'"' {
                        let blob = self.c.raw_string()?;
                        if section == b"dialect_resources" {
                            found.insert(key, blob);
                        }
                    } else if matches!(self.c.peek_word(), "true" | "false") {
                        self.c.word();
                    } else {
                        return self.c.expected("a string");
                    }
                    if !self.c.eat(",") && self.c.peek() != b'}' {
                        return self.c.expected("`,` or `}`");
                    }
                }
                if !self.c.eat(",") && self.c.peek() != b'}' {
                    return self.c.expected("`,` or `}`");
                }
            }
            if !self.c.eat(",") && self.c.peek() != b'#' {
                return self.c.expected("`,` or `#-}`");
            }
        }
        self.resources = Some(found);
        Ok(())
    }

    /// A name, bare or quoted.
    fn key(&mut self) -> Result<Vec<u8>> {
        if self.c.peek() == b'"' {
            return self.c.string().map(|s| s.into_owned());
        }
        let start = self.c.pos;
        while super::cursor::is_word(self.c.byte()) || self.c.byte() == b'-' {
            self.c.pos += 1;
        }
        if start == self.c.pos { self.c.expected("a name") } else { Ok(self.c.src[start..self.c.pos].to_vec()) }
    }
}
