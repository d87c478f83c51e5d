// Widths in columns, and foreign text that must not reach a terminal as it is.

#include "cli/text.h"

#include <catch2/catch.hpp>

namespace cli = gpcsup::cli;

TEST_CASE("Columns are counted, not bytes") {
    CHECK(cli::columns("größe") == 5);
    CHECK(cli::columns("日本語") == 6);
    CHECK(cli::columns("e\u0301") == 1);
    CHECK(cli::columns("\x1b[31mred\x1b[0m") == 3);
    CHECK(cli::columns("\xff\xfe") == 2);
}

TEST_CASE("Cutting keeps within the width and never splits a character") {
    CHECK(cli::cut("abcdef", 4) == "abc…");
    CHECK(cli::cut("abcd", 4) == "abcd");
    CHECK(cli::cut("abcdef", 0) == "abcdef");
    CHECK(cli::cut("日本語", 4) == "日…");
    CHECK(cli::columns(cli::cut("日本語日本語", 5)) <= 5);
}

TEST_CASE("Control characters and broken UTF-8 become question marks") {
    CHECK(cli::harmless("a\x1b]0;title\x07z") == "a?]0;title?z");
    CHECK(cli::harmless("line\nbreak\ttab") == "line?break tab");
    CHECK(cli::harmless("\xc3(") == "?(");
    CHECK(cli::harmless("ok größe") == "ok größe");
    CHECK(cli::harmless("\u202egnp.exe") == "?gnp.exe");
    CHECK(cli::harmless(std::string("\xe0\x80")) == "??");
}

TEST_CASE("A log's line keeps colours and tabs, and nothing else") {
    CHECK(cli::harmless_line("\x1b[32mok\x1b[0m\tdone") == "\x1b[32mok\x1b[0m\tdone\x1b[0m");
    CHECK(cli::harmless_line("\x1b[2Jgone\x1b[5;5Hx") == "?[2Jgone?[5;5Hx");
    CHECK(cli::harmless_line("plain") == "plain");
    CHECK(cli::harmless_line("") == "");
}

TEST_CASE("Whether the bus can carry it") {
    CHECK(cli::is_utf8("größe"));
    CHECK_FALSE(cli::is_utf8("\xff"));
    CHECK_FALSE(cli::is_utf8("\xf0\x9f"));
}

TEST_CASE("Lines are broken at spaces") {
    CHECK(cli::wrap("one two three", 7) == std::vector<std::string>{"one two", "three"});
    CHECK(cli::wrap("one two three", 0) == std::vector<std::string>{"one two three"});
    CHECK(cli::wrap("unbreakable", 4) == std::vector<std::string>{"unbreakable"});
    CHECK(cli::wrap("", 4) == std::vector<std::string>{""});
}
