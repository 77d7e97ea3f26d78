//! Reads Rust just well enough to say which paths it names: comments, texts and test modules aside.

/// The source with comments, texts and characters blanked out and its test modules cut; lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    without_tests(&without_texts(text))
}

/// How long the quoted or commented piece at the start of `rest` is; nothing if code goes on there.
fn aside(rest: &str, after_word: bool) -> Option<usize> {
    let to = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(to(2, "*/"));
    }
    let raw = if after_word { "" } else { rest.trim_start_matches(['b', 'c']).strip_prefix('r').unwrap_or("") };
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if raw[hashes..].starts_with('"') {
        return Some(to(rest.len() - raw.len() + hashes + 1, &format!("\"{}", "#".repeat(hashes))));
    }
    let escaped = |quote: char, from: usize| {
        let mut chars = rest[from..].char_indices();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c == quote {
                return from + at + 1;
            }
        }
        rest.len()
    };
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('"'), ..) => Some(escaped('"', 1)),
        (Some('\''), Some('\\'), _) | (Some('\''), Some(_), Some('\'')) => Some(escaped('\'', 1)),
        _ => None,
    }
}

fn without_texts(text: &str) -> String {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let cut = aside(rest, code.ends_with(in_word));
        let (piece, after) = rest.split_at(cut.unwrap_or(first.len_utf8()));
        match cut {
            Some(_) => code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push_str(piece),
        }
        rest = after;
    }
    code
}

fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, after) = rest.split_at(at);
        kept.push_str(before);
        let head = after.find(['{', ';']).unwrap_or(after.len());
        let module = after[..head].split_whitespace().any(|word| word == "mod");
        let body = if module && after[head..].starts_with('{') { head + block(&after[head..]) } else { "#[cfg(test)]".len() };
        kept.extend(after[..body].chars().filter(|c| *c == '\n'));
        rest = &after[body..];
    }
    kept + rest
}

fn block(code: &str) -> usize {
    let mut depth = 0;
    let end = code.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    end.map_or(code.len(), |at| at + 1)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path that the code of module `home` names, `use` groups written out, `crate`, `self` and `super` resolved
/// (`crate::…` where it is ours), each with its line; `name!` is a macro.
pub(crate) fn paths(code: &str, home: &str) -> Vec<(usize, String)> {
    let mut reader = Reader { tokens: tokens(code), at: 0, found: Vec::new() };
    let (mut modules, mut depth) = (vec![], 0);
    while let Some(&(_, token)) = reader.tokens.get(reader.at) {
        let behind = reader.at.checked_sub(1).map_or("", |at| reader.tokens[at].1);
        if behind == "mod" && reader.token(1) == "{" {
            modules.push((depth, token));
        }
        match token {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                modules.retain(|(outer, _)| *outer < depth);
            }
            _ if token.starts_with(in_word) && (behind != "." || reader.token(1) == "::") => {
                let here: Vec<_> = home.split("::").chain(modules.iter().map(|(_, name)| *name)).collect();
                reader.tree(&[], &here);
                continue;
            }
            _ => {}
        }
        reader.at += 1;
    }
    reader.found
}

struct Reader<'a> {
    tokens: Vec<(usize, &'a str)>,
    at: usize,
    found: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn token(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |(_, token)| token)
    }

    /// One path, or the group at its end, from here on.
    fn tree(&mut self, before: &[String], here: &[&str]) {
        let start = self.at;
        let line = self.tokens[start].0;
        let mut path = before.to_vec();
        loop {
            if self.token(0) == "{" {
                self.at += 1;
                while !matches!(self.token(0), "}" | "") {
                    match self.token(0) {
                        "as" => self.at += 2,
                        token if token == "{" || token.starts_with(in_word) => self.tree(&path, here),
                        _ => self.at += 1,
                    }
                }
                self.at += 1;
                return;
            }
            path.push(self.token(0).to_owned());
            self.at += 1;
            if self.token(0) != "::" || !(matches!(self.token(1), "{" | "*") || self.token(1).starts_with(in_word)) {
                break;
            }
            self.at += 1;
        }
        if self.token(0) == "!" && self.token(1) != "=" {
            path.last_mut().into_iter().for_each(|name| name.push('!'));
        }
        // `pub(crate)`, a `self` argument: no path. `pub(in crate::…)`: no import.
        let visibility = start.checked_sub(2).is_some_and(|two| self.tokens[two].1 == "(" && self.tokens[two + 1].1 == "in");
        if !visibility && (path.len() > 1 || !matches!(path[0].as_str(), "crate" | "self" | "super")) {
            self.found.push((line, resolved(&path, here)));
        }
    }
}

fn resolved(path: &[String], here: &[&str]) -> String {
    let names: Vec<_> = path.iter().map(String::as_str).collect();
    let ups = names.iter().take_while(|name| matches!(**name, "super" | "self")).count();
    let above = names[..ups].iter().filter(|name| **name == "super").count();
    match names[0] {
        "self" | "super" => [&["crate"], &here[..here.len().saturating_sub(above)], &names[ups..]].concat().join("::"),
        "twinveil" if here == ["main"] => ["crate", &names[1..].join("::")].join("::"),
        _ => names.join("::"),
    }
}

fn tokens(code: &str) -> Vec<(usize, &str)> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), code, 1);
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(if rest.starts_with("::") { 2 } else { word.max(c.len_utf8()) });
        if !c.is_whitespace() {
            tokens.push((line, token));
        }
        line += usize::from(c == '\n');
        rest = after;
    }
    tokens
}
