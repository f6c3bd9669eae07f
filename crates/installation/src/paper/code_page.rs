//! The printer's characters, code page 437, and how every other character is
//! written with them.

use unicode_width::UnicodeWidthChar;

use super::format::CodePage;

// From build/transliterations.rs: ASCII for the characters of most scripts.
include!(concat!(env!("OUT_DIR"), "/transliterations.rs"));

/// The characters of CP437 from 0x80 on. The last byte, 0xFF, is a blank in
/// CP437 and wakes a sleeping printer, so it is never sent as text.
const CP437_HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
                          ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                          αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■";

/// `text` in characters of the `page`, each one column wide: those that it has are kept,
/// others are transliterated to ASCII, and those without a transliteration become `?`.
/// Control characters are dropped, except the line break.
pub(super) fn fold(text: &str, page: CodePage) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            ' '..='~' | '\n' => out.push(character),
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            _ if character.is_whitespace() => out.push(' '),
            _ if character.is_control() => {}
            _ if page == CodePage::Cp437 && byte(character).is_some() => out.push(character),
            _ => fold_foreign(character, &mut out),
        }
    }
    out
}

/// Folds a character that the page lacks. Characters of zero width without a
/// transliteration, such as joiners and direction marks, are dropped.
fn fold_foreign(character: char, out: &mut String) {
    let invisible = character.width() == Some(0);
    match transliteration(character) {
        Some(ascii) if !(invisible && ascii.trim().is_empty()) => {
            out.extend(ascii.chars().filter(|character| (' '..='~').contains(character)));
        }
        None if !invisible => out.push('?'),
        _ => {}
    }
}

/// The first character of `text` that cannot be printed at all: a control
/// character, or one that would become `?`.
pub(crate) fn unprintable(text: &str) -> Option<char> {
    text.chars().find(|&character| {
        let folded = fold(character.encode_utf8(&mut [0; 4]), CodePage::Cp437);
        character.is_control() || (folded == "?" && character != '?')
    })
}

/// Every character that can be printed, without the blank.
pub(super) fn characters(page: CodePage) -> String {
    let high = if page == CodePage::Cp437 { CP437_HIGH } else { "" };
    ('!'..='~').chain(high.chars()).collect()
}

/// The byte of a printable character of CP437.
pub(super) fn byte(character: char) -> Option<u8> {
    if (' '..='~').contains(&character) {
        return Some(character as u8);
    }
    let index = CP437_HIGH.chars().position(|high| high == character)?;
    Some(0x80 + index as u8)
}

/// What `character` is in ASCII, as in deunicode's table; `None` for one that
/// the table lacks, and for the scripts that [`PAGES`] leaves out.
fn transliteration(character: char) -> Option<&'static str> {
    /// Characters in a page.
    const PAGE: usize = 256;
    let code = character as usize;
    let page = PAGES.binary_search(&u16::try_from(code / PAGE).ok()?).ok()?;
    let word = usize::from(WORD_OF[page * PAGE + code % PAGE]).checked_sub(1)?;
    let start = word.checked_sub(1).map_or(0, |before| usize::from(WORD_ENDS[before]));
    WORDS.get(start..usize::from(WORD_ENDS[word]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deunicode::deunicode_char;
    use proptest::prelude::*;

    fn fold(text: &str) -> String {
        super::fold(text, CodePage::Cp437)
    }

    #[test]
    fn the_code_page_has_127_characters_of_one_column() {
        assert_eq!(CP437_HIGH.chars().count(), 127);
        assert!(CP437_HIGH.chars().all(|character| character.width() == Some(1)));
        assert_eq!(byte('é'), Some(0x82));
        assert_eq!(byte('─'), Some(0xC4));
        assert_eq!(byte('■'), Some(0xFE));
    }

    #[test]
    fn what_cp437_has_stays_and_the_rest_reads_like_itself() {
        assert_eq!(fold("naïve café, ½ Ångström"), "naïve café, ½ Ångström");
        assert_eq!(fold("‘I’ “am” — here–there…"), "'I' \"am\" -- here-there...");
        assert_eq!(fold("Dvořák œuvre ﬁt"), "Dvorák oeuvre fit");
        assert_eq!(fold("e\u{301}t\u{200b}c\u{202e}\u{feff}"), "etc");
        assert_eq!(fold("a\tb\u{a0}c\u{2028}d\r\ne"), "a b c\nd \ne");
        assert_eq!(fold("\u{1b}@\0\u{7f}\u{9b}x\u{e000}"), "@x?");
    }

    #[test]
    fn the_table_says_what_deunicode_says_or_nothing() {
        let mut known = 0;
        for character in '\u{80}'..=char::MAX {
            let ours = transliteration(character);
            assert!(ours.is_none() || ours == deunicode_char(character), "{character:?}: {ours:?}");
            known += usize::from(ours.is_some());
        }
        // Kana, Cyrillic and a smile are in it; ideographs are not.
        assert_eq!(fold("Москва ひらがな 😀 漢"), "Moskva hiragana grinning  ?");
        assert!(known > 15_000, "{known}");
    }

    proptest! {
        #[test]
        fn folding_does_not_depend_on_the_split_and_is_done_once(text in any::<String>(), at in any::<prop::sample::Index>()) {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (left, right) = text.split_at(*at.get(&boundaries));
            let whole = fold(&text);
            prop_assert_eq!(&(fold(left) + &fold(right)), &whole);
            prop_assert_eq!(&fold(&whole), &whole);
            prop_assert!(super::fold(&text, CodePage::Ascii).is_ascii());
            prop_assert!(whole.chars().all(|character| character == '\n' || character.width() == Some(1)));
        }
    }
}
