//! A terminal that shows the newest frame in place of the last one, and is left as it was found.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

use super::{Look, USUAL_WIDTH};

/// Erases from the cursor to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";
const ERASE_LINE: &str = "\x1b[2K";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Standard output, where it is a terminal. Dropping it gives the cursor back, so every way out does, a panic's too.
#[derive(Debug)]
pub struct Screen {
    /// Lines of the last frame.
    drawn: usize,
    /// Columns and rows when it was drawn.
    size: (usize, usize),
    colour: bool,
}

impl Screen {
    /// Takes standard output; `None` where it is no terminal that can move its cursor.
    pub fn open() -> Option<Self> {
        let moves = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        (moves && io::stdout().is_terminal()).then(|| Screen { drawn: 0, size: size(), colour })
    }

    /// How the next frame shall look.
    pub fn look(&self) -> Look {
        Look { width: size().0, colour: self.colour }
    }

    /// Shows `lines` in place of the last frame.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let now = size();
        let mut text = replace(lines, self.drawn, now.1);
        if now != self.size {
            // The old frame has been folded in ways nobody can know.
            text = format!("{CLEAR}{}", replace(lines, 0, now.1));
        }
        (self.drawn, self.size) = (lines.len().min(shown(now.1)), now);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(SHOW_CURSOR.as_bytes()).and_then(|()| out.flush());
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (USUAL_WIDTH, 24),
    }
}

/// Lines that fit `rows`: the cursor stands below the last one.
fn shown(rows: usize) -> usize {
    rows.saturating_sub(1).max(1)
}

/// What a terminal of `rows` is told to show `lines` where the last `drawn` lines stand.
fn replace(lines: &[String], drawn: usize, rows: usize) -> String {
    let mut text = String::from(HIDE_CURSOR);
    if drawn > 0 {
        text += &format!("\x1b[{drawn}F");
    }
    for line in &lines[..lines.len().min(shown(rows))] {
        // Erased first: behind a full line the cursor still stands on its last column.
        text += ERASE_LINE;
        text += line;
        text += "\r\n";
    }
    text + ERASE_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_the_place_of_the_last_one() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(replace(&lines, 0, 24), "\x1b[?25l\x1b[2Ka\r\n\x1b[2Kb\r\n\x1b[J");
        assert_eq!(replace(&lines, 3, 24), "\x1b[?25l\x1b[3F\x1b[2Ka\r\n\x1b[2Kb\r\n\x1b[J");
    }

    #[test]
    fn a_low_terminal_shows_what_fits() {
        let lines = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(replace(&lines, 0, 3).matches("\r\n").count(), 2);
        assert_eq!(replace(&lines, 0, 1).matches("\r\n").count(), 1);
    }
}
