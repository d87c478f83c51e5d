#pragma once
// Several words of the shared table changed at once, for somebody who may be killed between any two
// instructions. Changes are gathered in the log as "this word becomes that", then the log is armed, then
// written out; recover() at adoption writes out an armed log again. One transaction at a time; one that is
// dropped without commit never happened.

#include <concepts>
#include <cstdint>

#include "processes/table_layout.h"

namespace gpcsup::processes {

class Transaction {
  public:
    explicit Transaction(SharedTable& table) : table_(table) {}
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    template <std::integral Word>
    void set(Word& word, std::type_identity_t<Word> value) {
        put(&word, sizeof word, static_cast<std::uint64_t>(value));
    }
    // Words that were already changed in this transaction count with their new value.
    void add(std::uint64_t& word, std::uint64_t amount) {
        put(&word, sizeof word, value_of(&word, word) + amount);
    }
    [[nodiscard]] std::uint64_t get(const std::uint64_t& word) const { return value_of(&word, word); }
    [[nodiscard]] std::uint32_t get(const std::uint32_t& word) const {
        return static_cast<std::uint32_t>(value_of(&word, word));
    }
    void commit();

    static void recover(SharedTable& table);

  private:
    void put(const void* word, std::uint32_t size, std::uint64_t value);
    [[nodiscard]] std::uint64_t value_of(const void* word, std::uint64_t current) const;
    SharedTable& table_;
    std::uint32_t count_ = 0;
};

}  // namespace gpcsup::processes
