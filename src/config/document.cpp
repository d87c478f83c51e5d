#include "config/document.h"

#include <algorithm>
#include <charconv>

#include "config/explain.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

namespace gpcsup::config {

namespace {

// Deeper than this no setting lies; it bounds the recursion that reads the tree.
constexpr unsigned deepest_value = 32;

Location place_of(const toml::source_region& region, std::string_view file) {
    return {std::string(file), std::max(1U, static_cast<unsigned>(region.begin.line)),
            std::max(1U, static_cast<unsigned>(region.begin.column))};
}

std::string written(double value) {
    char buffer[64];
    const auto result = std::to_chars(std::begin(buffer), std::end(buffer), value);
    return {buffer, result.ptr};
}

class Converter {
  public:
    explicit Converter(std::string_view file) : file_(file) {}

    Node convert(const toml::node& source, unsigned depth) {
        Node node;
        node.place = place_of(source.source(), file_);
        if (depth > deepest_value) {
            node.kind = NodeKind::date;  // a kind that no setting accepts: refused where it is used
        } else if (const auto* table = source.as_table()) {
            convert_table(*table, node, depth);
        } else if (const auto* array = source.as_array()) {
            node.kind = NodeKind::list;
            for (const toml::node& item : *array) {
                node.items.push_back(convert(item, depth + 1));
            }
        } else {
            convert_scalar(source, node);
        }
        return node;
    }

  private:
    void convert_table(const toml::table& table, Node& node, unsigned depth) {
        for (const auto& [key, value] : table) {
            Entry entry{std::string(key.str()), place_of(key.source(), file_), convert(value, depth + 1)};
            if (value.is_table()) {
                entry.value.place = entry.place;  // a table is where its name is
            }
            node.entries.push_back(std::move(entry));
        }
        std::ranges::stable_sort(node.entries, [](const Entry& a, const Entry& b) {
            return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
        });
    }

    static void convert_scalar(const toml::node& source, Node& node) {
        if (const auto* text = source.as_string()) {
            node.kind = NodeKind::text;
            node.text = text->get();
        } else if (const auto* integer = source.as_integer()) {
            node.kind = NodeKind::integer;
            node.integer = integer->get();
            node.text = std::to_string(node.integer);
        } else if (const auto* real = source.as_floating_point()) {
            node.kind = NodeKind::real;
            node.real = real->get();
            node.text = written(node.real);
        } else if (const auto* boolean = source.as_boolean()) {
            node.kind = NodeKind::boolean;
            node.boolean = boolean->get();
            node.text = node.boolean ? "true" : "false";
        } else {
            node.kind = NodeKind::date;
        }
    }

    std::string_view file_;
};

}  // namespace

const Entry* Node::find(std::string_view key) const {
    const auto found = std::ranges::find(entries, key, &Entry::key);
    return found == entries.end() ? nullptr : &*found;
}

std::variant<Node, Located> parse_document(std::string_view text, std::string_view file) {
    if (text.size() > largest_document) {
        return Located{std::string(file), 1, 1, "", "the file is larger than 1 MiB"};
    }
    const toml::parse_result result = toml::parse(text, file);
    if (!result) {
        const toml::parse_error& error = result.error();
        return explain_parse_error(text, place_of(error.source(), file), error.description());
    }
    return Converter(file).convert(result.table(), 0);
}

std::string_view kind_text(NodeKind kind) {
    switch (kind) {
        case NodeKind::table:
            return "a table";
        case NodeKind::list:
            return "a list";
        case NodeKind::text:
            return "a string";
        case NodeKind::integer:
        case NodeKind::real:
            return "a number";
        case NodeKind::boolean:
            return "true or false";
        case NodeKind::date:
            break;
    }
    return "a date";
}

}  // namespace gpcsup::config
