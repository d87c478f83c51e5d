#pragma once
// A TOML text as a tree with places. The only thing in the house that knows toml++ is document.cpp; what
// leaves it is plain.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/located.h"

namespace gpcsup::config {

enum class NodeKind { table, list, text, integer, real, boolean, date };

struct Entry;

struct Node {
    NodeKind kind = NodeKind::table;
    Location place;
    std::string text;  // of a scalar: the string itself, else as it would be written
    std::int64_t integer = 0;
    double real = 0;
    bool boolean = false;
    std::vector<Node> items;     // of a list
    std::vector<Entry> entries;  // of a table, in the order of the file

    [[nodiscard]] const Entry* find(std::string_view key) const;
};

struct Entry {
    std::string key;
    Location place;
    Node value;
};

inline constexpr std::size_t largest_document = 1 << 20;

// The root table, or the one error that made the text unreadable, explained where a common slip is
// recognised.
std::variant<Node, Located> parse_document(std::string_view text, std::string_view file);

[[nodiscard]] std::string_view kind_text(NodeKind kind);  // "a list", "a number"

}  // namespace gpcsup::config
