// Where pages go when their process moves to other nodes.

#include "enforcement/reader/node_map.h"

#include <catch2/catch.hpp>

#include "base/cpu_list.h"

using namespace gpcsup;

namespace {

struct Words {
    explicit Words(std::string_view list) {
        const auto nodes = base::parse_cpu_list(list).value();
        std::copy(nodes.words().begin(), nodes.words().end(), words);
    }
    enforcement::NodeMap::Words words = {};
};

// "1,2,-" for nodes 0, 1, 2 …: where each goes
std::string targets(std::string_view from, std::string_view to, int nodes = 4) {
    const enforcement::NodeMap map(Words(from).words, Words(to).words);
    std::string text;
    for (int node = 0; node < nodes; ++node) {
        text += (node > 0 ? "," : "") + std::to_string(map.target(node));
    }
    return text;
}

}  // namespace

TEST_CASE("pages keep their place among the nodes of their process") {
    CHECK(targets("0-1", "2-3") == "2,3,2,3");
    CHECK(targets("0,2", "1,3") == "1,1,3,3");
    CHECK(targets("0-1", "1-2") == "1,2,2,2");  // as many nodes as before: the one in both moves on, too
    CHECK(targets("2-3", "0-1") == "0,1,0,1");
}

TEST_CASE("with more or fewer nodes than before, pages on a node of both stay") {
    CHECK(targets("0-3", "2-3") == "2,3,2,3");
    CHECK(targets("0-3", "1") == "1,1,1,1");
    CHECK(targets("1", "0-3") == "0,1,2,3");
    CHECK(targets("0", "1-2") == "1,1,2,2");
}

TEST_CASE("the same nodes as before bring home only what is outside") {
    CHECK(targets("1-2", "1-2") == "1,1,2,2");
    CHECK(targets("3", "3") == "3,3,3,3");
}

TEST_CASE("nodes beyond the first word, and what is no node") {
    CHECK(targets("0", "1023", 1) == "1023");
    const enforcement::NodeMap map(Words("64-65").words, Words("130-131").words);
    CHECK(map.target(65) == 131);
    CHECK(map.target(-14) == -14);  // an error in a status is not a node
    CHECK(map.target(5000) == 5000);
    CHECK(targets("0-1", "") == "0,1,2,3");
}
