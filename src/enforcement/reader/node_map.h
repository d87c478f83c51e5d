#pragma once
// Where pages of a node go when a process moves from some nodes to others, as the kernel's cpusets had it: a
// page keeps its place, the first of `from` becomes the first of `to`. Pure.

#include <bit>

#include "wire/reader.h"

namespace gpcsup::enforcement {

class NodeMap {
  public:
    using Words = std::uint64_t[wire::memory_node_words];

    NodeMap(const Words& from, const Words& to) {
        const unsigned targets = count(to);
        const bool same_size = count(from) == targets;
        unsigned place = 0;
        for (unsigned node = 0; node < wire::memory_nodes; ++node) {
            const bool leaves = has(from, node);
            const bool stays = has(to, node) && !(leaves && same_size);
            const unsigned rank = leaves ? place++ : node;
            target_[node] =
                static_cast<std::uint16_t>(stays || targets == 0 ? node : nth(to, rank % targets));
        }
    }

    [[nodiscard]] int target(int node) const {
        return node < 0 || node >= static_cast<int>(wire::memory_nodes) ? node : target_[node];
    }

  private:
    static bool has(const Words& words, unsigned node) { return (words[node / 64] >> (node % 64) & 1) != 0; }
    static unsigned count(const Words& words) {
        unsigned sum = 0;
        for (const std::uint64_t word : words) {
            sum += static_cast<unsigned>(std::popcount(word));
        }
        return sum;
    }
    static unsigned nth(const Words& words, unsigned place) {
        unsigned node = 0;
        while (!has(words, node) || place-- > 0) {
            ++node;
        }
        return node;
    }

    std::uint16_t target_[wire::memory_nodes] = {};
};

}  // namespace gpcsup::enforcement
