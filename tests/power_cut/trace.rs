//! What strace wrote, as calls.

/// A call that returned, with its arguments as strace shows them.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    arguments: Vec<String>,
    pub result: i64,
    /// The lines of the record at which it began and returned.
    pub begin: usize,
    pub end: usize,
}

/// What is recorded: everything that changes files or names, makes it durable, or opens and closes.
pub const CALLS: &str = "open,creat,openat,openat2,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,pwritev2,\
    truncate,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,\
    mkdirat,fsync,fdatasync,sync,syncfs,sync_file_range,copy_file_range,sendfile,splice,io_uring_setup";

impl Call {
    /// The bytes of a string argument.
    pub fn bytes(&self, index: usize) -> Vec<u8> {
        let argument = self.argument(index);
        let inner = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let inner = inner.unwrap_or_else(|| panic!("no whole string in argument {index}: {self:?}"));
        let digits = inner.split("\\x").skip(1);
        digits.map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect()
    }

    pub fn number(&self, index: usize) -> i64 {
        self.argument(index).parse().unwrap_or_else(|_| panic!("no number in argument {index}: {self:?}"))
    }

    /// A descriptor of a folder; `None` for the working directory.
    pub fn folder(&self, index: usize) -> Option<i64> {
        (self.argument(index) != "AT_FDCWD").then(|| self.number(index))
    }

    pub fn says(&self, index: usize, flag: &str) -> bool {
        self.argument(index).split(['|', '{', ',', '=']).any(|word| word == flag)
    }

    fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }
}

/// The calls that succeeded, in the order in which they returned.
pub fn calls(record: &str) -> Vec<Call> {
    let mut begun: std::collections::HashMap<&str, (usize, &str)> = Default::default();
    let mut calls = Vec::new();
    for (line, text) in record.lines().enumerate() {
        let (thread, text) = text.split_once(' ').expect("strace -f names the thread");
        let text = text.trim_start();
        if let Some(head) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (line, head));
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let tail = rest.split_once(" resumed>").expect("strace resumes a call").1;
            let (begin, head) = begun.remove(thread).expect("a call that resumes has begun");
            calls.extend(call(&format!("{head}{tail}"), begin, line));
        } else if !text.starts_with(['+', '-']) {
            calls.extend(call(text, line, line));
        }
    }
    calls
}

fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let (shown, result) = text.rsplit_once(" = ")?;
    let result: i64 = result.split(' ').next()?.parse().ok().filter(|result| *result >= 0)?;
    let (name, arguments) = shown.trim_end().strip_suffix(')')?.split_once('(')?;
    Some(Call { name: name.to_owned(), arguments: split(arguments), result, begin, end })
}

/// At the commas outside of braces; strings have none, as every byte of them is shown as a number.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for character in arguments.chars() {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}
