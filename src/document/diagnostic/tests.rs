//! What a person sees, and never sees.

use super::*;

fn diagnostic(line: usize, column: usize, width: usize) -> Diagnostic {
    let origin = policy::SourceLocation { file: "landfall.yaml".to_owned(), line, column };
    Diagnostic { width, ..Diagnostic::error(&origin, "unknown key `brnach`").with_hint("did you mean `branch`?") }
}

#[test]
fn the_line_is_shown_with_what_is_meant() {
    let source = "repositories:\n  - brnach: main # ä\n";
    insta::assert_snapshot!(diagnostic(2, 5, 6).render(Some(source), false), @r"
    error: unknown key `brnach`
     --> landfall.yaml:2:5
      |
    2 |   - brnach: main # ä
      |     ^^^^^^
      |
      = help: did you mean `branch`?
    ");
}

#[test]
fn without_its_text_the_place_is_named() {
    for (source, line) in [(None, 2), (Some("one line"), 7)] {
        let text = diagnostic(line, 5, 6).render(source, false);
        assert!(text.contains(&format!("landfall.yaml:{line}:5")), "{text}");
        assert!(text.contains("did you mean"), "{text}");
    }
}

#[test]
fn places_beyond_the_text_do_no_harm() {
    for source in ["", "x", "ä", "\u{feff}x", "a\r\nb\r\n", "\t\u{1b}[31mx"] {
        for line in 0..4 {
            for column in 0..5 {
                let text = diagnostic(line, column, 3).render(Some(source), false);
                assert!(!text.contains('\u{1b}'), "{text:?}");
            }
        }
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let origin = policy::SourceLocation { file: "a\u{1b}b".to_owned(), line: 1, column: 1 };
    let diagnostic = Diagnostic::warning(&origin, "x\u{7}\u{9b}y").with_hint("h\u{8}");
    let text = format!("{diagnostic}{}", diagnostic.render(Some("z"), false));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn lines_that_may_hold_a_secret_are_not_shown() {
    for line in [
        "password: hunter2",
        "  pasword: hunter2",
        "{ username: bot, Token: hunter2 }",
        "\"api_key\" : hunter2",
        "apiKey: hunter2",
        "url: https://bot:hunter2@git.example.com/a",
        "url: https://hunter2@git.example.com/a",
        "webhookUrl: https://hooks.example.com/hunter2",
    ] {
        assert!(!diagnostic(1, 1, 1).render(Some(line), false).contains("hunter2"), "{line}");
    }
    for line in
        ["password: { env: X }", "token:", "url: git@git.example.com:a", "paths: [a]", "url: ssh://git@a.example.com/b"]
    {
        assert!(diagnostic(1, 1, 1).render(Some(line), false).contains(line), "{line}");
    }
    let mut marked = diagnostic(1, 1, 1);
    marked.secret = true;
    assert!(!marked.render(Some("x: hunter2"), false).contains("hunter2"));
}
