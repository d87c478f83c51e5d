#pragma once
// Text on a terminal: widths in columns (UTF-8), padding, cutting, tables, and making foreign text harmless.
// Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gpcsup::cli {

// Columns that TEXT takes on a terminal; escape sequences of our own colours count nothing.
std::size_t columns(std::string_view text);

// TEXT with control characters (an escape sequence in a command line, say) and broken UTF-8 shown as '?'.
std::string harmless(std::string_view text);
// The same for a log's line, whose tabs and colours are left; a colour that stays on is ended.
std::string harmless_line(std::string_view text);

// Whether all of TEXT is UTF-8 (what the bus can carry).
bool is_utf8(std::string_view text);

// At most WIDTH columns, with an ellipsis where something was left out; 0 = no limit. TEXT has no colours.
std::string cut(std::string_view text, std::size_t width);

enum class Align { left, right };
std::string pad(std::string_view text, std::size_t width, Align align = Align::left);

// Breaks TEXT at spaces into lines of at most WIDTH columns (0 = one line).
std::vector<std::string> wrap(std::string_view text, std::size_t width);

// Rows of cells under an optional heading, as wide as their widest cell, two spaces apart. Cells may be
// coloured.
class Table {
  public:
    struct Column {
        std::string heading;
        Align align = Align::left;
    };
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    [[nodiscard]] bool empty() const { return rows_.empty(); }
    // Lines without their final newline: the heading (if any column has one), then a line a row. The last
    // column is cut to what is left of WIDTH (0 = no limit).
    [[nodiscard]] std::vector<std::string> lines(std::size_t width) const;

  private:
    [[nodiscard]] std::vector<std::size_t> widths() const;
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace gpcsup::cli
