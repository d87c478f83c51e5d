#include "base/suggestion.h"

#include <algorithm>
#include <vector>

namespace gpcsup::base {

namespace {

// Upper case and the choice of dash or underscore are never what keeps two words apart.
char folded(char c) {
    if (c >= 'A' && c <= 'Z') {
        return static_cast<char>(c - 'A' + 'a');
    }
    return c == '-' ? '_' : c;
}

// Insertions, deletions, substitutions and swaps of neighbours ("optimal string alignment"), in three rows.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> current(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        current[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t substituted = last[j - 1] + (folded(a[i - 1]) == folded(b[j - 1]) ? 0 : 1);
            current[j] = std::min({last[j] + 1, current[j - 1] + 1, substituted});
            const bool swapped = i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
                                 folded(a[i - 2]) == folded(b[j - 1]);
            if (swapped) {
                current[j] = std::min(current[j], before_last[j - 2] + 1);
            }
        }
        std::swap(before_last, last);
        std::swap(last, current);
    }
    return last[b.size()];
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known) {
    constexpr std::size_t longest_word = 128;  // bounds the work that a hostile file can cause
    if (word.empty() || word.size() > longest_word) {
        return std::nullopt;
    }
    std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
    std::optional<std::string_view> result;
    for (std::string_view candidate : known) {
        const std::size_t apart = candidate.size() <= longest_word ? distance(word, candidate) : best;
        if (apart < best && apart < candidate.size()) {  // one letter is not a slip of another letter
            best = apart;
            result = candidate;
        }
    }
    return result;
}

}  // namespace gpcsup::base
