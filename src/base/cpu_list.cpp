#include "base/cpu_list.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <optional>
#include <utility>

namespace gpcsup::base {

namespace {

constexpr unsigned word_bits = 64;
constexpr unsigned number_limit =
    8192;  // CONFIG_NR_CPUS of the largest kernels; it also bounds what a typo may allocate

std::uint64_t bit(unsigned number) {
    return std::uint64_t{1} << (number % word_bits);
}

bool is_separator(char c) {
    return c == ',' || c == ' ' || c == '\t' || c == '\n';
}

// Reads the text from left to right, as bitmap_parselist() of the kernel does, and remembers where it is for
// the message.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    [[nodiscard]] bool skip_to_region() {
        while (position_ < text_.size() && is_separator(text_[position_])) {
            ++position_;
        }
        return position_ < text_.size();
    }
    [[nodiscard]] bool at_end_of_region() const {
        return position_ == text_.size() || is_separator(text_[position_]);
    }
    [[nodiscard]] bool accept(char wanted) {
        if (position_ < text_.size() && text_[position_] == wanted) {
            ++position_;
            return true;
        }
        return false;
    }
    Result<unsigned> number() {
        const std::size_t start = position_;
        unsigned value = 0;
        while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') {
            value = std::min(value * 10 + static_cast<unsigned>(text_[position_] - '0'), number_limit);
            ++position_;
        }
        if (position_ == start) {
            return bad("expected a number");
        }
        if (value >= number_limit) {
            position_ = start;
            return bad("the number is too big", ERANGE);
        }
        return value;
    }
    [[nodiscard]] std::unexpected<Error> bad(std::string_view what, int code = EINVAL) const {
        std::string message =
            "\"" + std::string(text_) + "\" is not a list like \"0-3,8\": " + std::string(what);
        if (position_ < text_.size()) {
            message += " at \"" + std::string(text_.substr(position_)) + "\"";
        } else {
            message += " at the end";
        }
        return refuse(code, message);
    }

  private:
    std::string_view text_;
    std::size_t position_ = 0;
};

struct Region {  // first-last, and of every `group` numbers the leading `used`
    unsigned first = 0;
    unsigned last = 0;
    std::optional<std::pair<unsigned, unsigned>> pattern;
};

Result<Region> read_region(Reader& reader) {
    Region region;
    Result<unsigned> first = reader.number();
    if (!first) {
        return pass(first);
    }
    region.first = region.last = *first;
    if (reader.at_end_of_region()) {
        return region;
    }
    if (!reader.accept('-')) {
        return reader.bad("unexpected character");
    }
    Result<unsigned> last = reader.number();
    if (!last) {
        return pass(last);
    }
    region.last = *last;
    if (region.first > region.last) {
        return reader.bad("the range runs backwards");
    }
    if (reader.at_end_of_region()) {
        return region;
    }
    if (!reader.accept(':')) {
        return reader.bad("unexpected character");
    }
    Result<unsigned> used = reader.number();
    if (!used) {
        return pass(used);
    }
    if (!reader.accept('/')) {
        return reader.bad("expected USED/GROUP behind \":\"");
    }
    Result<unsigned> group = reader.number();
    if (!group) {
        return pass(group);
    }
    if (*group == 0 || *used > *group) {
        return reader.bad("USED may not exceed GROUP, and GROUP may not be 0");
    }
    if (!reader.at_end_of_region()) {
        return reader.bad("unexpected character");
    }
    region.pattern = {*used, *group};
    return region;
}

}  // namespace

void CpuList::trim() {
    while (!words_.empty() && words_.back() == 0) {
        words_.pop_back();
    }
}

bool CpuList::contains(unsigned number) const {
    return number / word_bits < words_.size() && (words_[number / word_bits] & bit(number)) != 0;
}

void CpuList::insert(unsigned number) {
    if (number / word_bits >= words_.size()) {
        words_.resize(number / word_bits + 1);
    }
    words_[number / word_bits] |= bit(number);
}

void CpuList::erase(unsigned number) {
    if (number / word_bits < words_.size()) {
        words_[number / word_bits] &= ~bit(number);
        trim();
    }
}

bool CpuList::empty() const {
    return words_.empty();
}

unsigned CpuList::count() const {
    unsigned total = 0;
    for (std::uint64_t word : words_) {
        total += static_cast<unsigned>(std::popcount(word));
    }
    return total;
}

bool CpuList::is_subset_of(const CpuList& other) const {
    return subtract(other).empty();
}

CpuList CpuList::intersect(const CpuList& other) const {
    CpuList result = *this;
    result.words_.resize(std::min(words_.size(), other.words_.size()));
    for (std::size_t i = 0; i < result.words_.size(); ++i) {
        result.words_[i] &= other.words_[i];
    }
    result.trim();
    return result;
}

CpuList CpuList::unite(const CpuList& other) const {
    CpuList result = *this;
    result.words_.resize(std::max(words_.size(), other.words_.size()));
    for (std::size_t i = 0; i < other.words_.size(); ++i) {
        result.words_[i] |= other.words_[i];
    }
    return result;
}

CpuList CpuList::subtract(const CpuList& other) const {
    CpuList result = *this;
    for (std::size_t i = 0; i < std::min(words_.size(), other.words_.size()); ++i) {
        result.words_[i] &= ~other.words_[i];
    }
    result.trim();
    return result;
}

std::vector<unsigned> CpuList::numbers() const {
    std::vector<unsigned> result;
    for (std::size_t i = 0; i < words_.size(); ++i) {
        for (std::uint64_t word = words_[i]; word != 0; word &= word - 1) {
            result.push_back(static_cast<unsigned>(i * word_bits) +
                             static_cast<unsigned>(std::countr_zero(word)));
        }
    }
    return result;
}

std::string CpuList::format() const {
    const std::vector<unsigned> all = numbers();
    std::string text;
    for (std::size_t i = 0; i < all.size();) {
        std::size_t end = i + 1;
        while (end < all.size() && all[end] == all[end - 1] + 1) {
            ++end;
        }
        text += text.empty() ? "" : ",";
        text += std::to_string(all[i]);
        if (end - i > 1) {
            text += "-" + std::to_string(all[end - 1]);
        }
        i = end;
    }
    return text;
}

CpuList CpuList::from_words(std::vector<std::uint64_t> words) {
    CpuList result;
    result.words_ = std::move(words);
    result.trim();
    return result;
}

CpuList CpuList::up_to(unsigned count) {
    CpuList result;
    for (unsigned number = 0; number < count; ++number) {
        result.insert(number);
    }
    return result;
}

Result<CpuList> parse_cpu_list(std::string_view text) {
    CpuList result;
    Reader reader(text);
    while (reader.skip_to_region()) {
        Result<Region> region = read_region(reader);
        if (!region) {
            return pass(region);
        }
        for (unsigned number = region->first; number <= region->last; ++number) {
            const bool wanted = !region->pattern ||
                                (number - region->first) % region->pattern->second < region->pattern->first;
            if (wanted) {
                result.insert(number);
            }
        }
    }
    return result;
}

}  // namespace gpcsup::base
