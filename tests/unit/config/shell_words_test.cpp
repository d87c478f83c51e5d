#include "config/shell_words.h"

#include <catch2/catch.hpp>

using gpcsup::config::split_words;

TEST_CASE("a command is split as a shell splits it") {
    struct Row {
        const char* command;
        std::vector<std::string> words;
    };
    const Row rows[] = {
        {"a", {"a"}},
        {"a b\tc", {"a", "b", "c"}},
        {"  a   b  ", {"a", "b"}},
        {"nginx -g 'daemon off;'", {"nginx", "-g", "daemon off;"}},
        {"a \"b c\" d", {"a", "b c", "d"}},
        {"a b\\ c", {"a", "b c"}},
        {"a ''", {"a", ""}},
        {"a \"\" b", {"a", "", "b"}},
        {"a b'c'\"d\"e", {"a", "bcde"}},
        {"a '|&;<>()$`'", {"a", "|&;<>()$`"}},
        {"a \"|&;<>()\"", {"a", "|&;<>()"}},
        {"a \\| \\$x", {"a", "|", "$x"}},
        {"a \"\\\"\\\\\\$\\x\"", {"a", "\"\\$\\x"}},
        {"a b#c", {"a", "b#c"}},
        {"a *.txt --x=1", {"a", "*.txt", "--x=1"}},
        {"./a=b/c", {"./a=b/c"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.command);
        const auto words = split_words(row.command);
        REQUIRE(words.has_value());
        CHECK(*words == row.words);
    }
}

TEST_CASE("what only a shell can do is refused, showing how to ask one") {
    struct Row {
        const char* command;
        const char* mentions;
    };
    const Row rows[] = {
        {"a | b", "only a shell understands | in a command; write [\"sh\", \"-c\", \"a | b\"], or quote it"},
        {"a && b", "understands &"},
        {"a; b", "understands ;"},
        {"a > \"b\"", "[\"sh\", \"-c\", \"a > \\\"b\\\"\"]"},
        {"a < b", "understands <"},
        {"a $HOME", "understands $"},
        {"a \"$HOME\"", "understands $"},
        {"a `b`", "understands `"},
        {"a \"`b`\"", "understands `"},
        {"a (b)", "understands ("},
        {"a\nb", "a new line"},
        {"a # b", "understands #"},
        {"a 'b", "a ' is open"},
        {"a \"b", "a \" is open"},
        {"a \"b\\", "a \" is open"},
        {"a \\", "backslash"},
        {"", "empty"},
        {"   ", "empty"},
        {"FOO=1 a", "environment = "},
    };
    for (const Row& row : rows) {
        CAPTURE(row.command);
        const auto words = split_words(row.command);
        REQUIRE_FALSE(words.has_value());
        CHECK_THAT(words.error().message(), Catch::Contains(row.mentions));
    }
}
