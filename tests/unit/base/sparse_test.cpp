#include "base/sparse.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

using gpcsup::base::Sparse;

using Words = Sparse<std::vector<std::string>>;
using Table = Sparse<std::map<std::string, std::string>>;

TEST_CASE("what is sparse costs a pointer") {
    STATIC_REQUIRE(sizeof(Words) == sizeof(void*));
    STATIC_REQUIRE(sizeof(Table) == sizeof(void*));
}

TEST_CASE("an empty sparse value reads as an empty one") {
    const Table table;
    CHECK(table.empty());
    CHECK(table.begin() == table.end());
    CHECK(table->find("x") == table->end());
    CHECK(table == Table());
}

TEST_CASE("a sparse value is what it was assigned, also when that was nothing") {
    Sparse<std::string> text;
    text = "words";
    CHECK(text == "words");
    CHECK(text.size() == 5);
    text = "";
    CHECK(text.empty());
    CHECK(text == Sparse<std::string>());
}

TEST_CASE("a sparse value is changed in place, and then emptied it equals one that never was anything") {
    Words words;
    words.edit().push_back("a");
    words.edit().push_back("b");
    CHECK(*words == std::vector<std::string>{"a", "b"});
    words.edit().clear();
    CHECK(words == Words());
}

TEST_CASE("copies of a sparse value are their own") {
    Words words = std::vector<std::string>{"a"};
    Words copy = words;
    copy.edit().push_back("b");
    CHECK(words.size() == 1);
    CHECK(copy.size() == 2);
    words = copy;
    CHECK(words == copy);
    const Words moved = std::move(copy);
    CHECK(moved == words);
    words = Words();
    CHECK(words.empty());
}
