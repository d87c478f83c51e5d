#pragma once
// Lists of CPUs or NUMA nodes, "0-4,9": the List Format of cpuset(7), and the set it stands for.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gpcsup::base {

// A set of small numbers (CPU or node numbers, below 8192).
class CpuList {
  public:
    CpuList() = default;
    [[nodiscard]] bool contains(unsigned number) const;
    void insert(unsigned number);
    void erase(unsigned number);
    [[nodiscard]] bool empty() const;
    [[nodiscard]] unsigned count() const;
    [[nodiscard]] bool is_subset_of(const CpuList& other) const;
    [[nodiscard]] CpuList intersect(const CpuList& other) const;
    [[nodiscard]] CpuList unite(const CpuList& other) const;
    [[nodiscard]] CpuList subtract(const CpuList& other) const;
    [[nodiscard]] std::vector<unsigned> numbers() const;  // ascending
    [[nodiscard]] std::string format() const;             // canonical: ascending, runs joined: "0-4,9"
    // The kernel's bit array for sched_setaffinity(2): word i holds numbers 64*i…64*i+63. No trailing zero
    // words.
    [[nodiscard]] const std::vector<std::uint64_t>& words() const { return words_; }
    static CpuList from_words(std::vector<std::uint64_t> words);
    static CpuList up_to(unsigned count);  // {0, …, count-1}
    bool operator==(const CpuList&) const = default;

  private:
    void trim();
    std::vector<std::uint64_t> words_;
};

// Accepts what the kernel's bitmap_parselist does: "", "0", "0-3", "0-3,8", "0-15:2/4", spaces and one final
// newline. EINVAL for a backward range or a bad character, ERANGE for a number too big; the message points at
// the place.
Result<CpuList> parse_cpu_list(std::string_view text);

}  // namespace gpcsup::base
