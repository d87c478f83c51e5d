#include "base/toml_text.h"

#include <catch2/catch.hpp>

using gpcsup::base::toml_quoted;

TEST_CASE("text is quoted as TOML reads it back") {
    CHECK(toml_quoted("") == R"("")");
    CHECK(toml_quoted("/a b:ü") == R"("/a b:ü")");
    CHECK(toml_quoted("say \"x\\y\"") == R"("say \"x\\y\"")");
    CHECK(toml_quoted("a\nb\tc") == R"("a\nb\u0009c")");
    CHECK(toml_quoted(std::string_view("\0\x7f", 2)) == R"("\u0000\u007f")");
}
