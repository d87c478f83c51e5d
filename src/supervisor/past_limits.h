#pragma once
// What processes had before their groups limited them: few different sets, each with a number that is kept in
// the rows of the process table, and a record in the journal. Knows no process.

#include <map>
#include <optional>

#include "controllers/controller.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

class PastLimits {
  public:
    using Set = controllers::Host::LimitSet;
    static constexpr std::uint16_t most = 4096;

    explicit PastLimits(Chronicle& chronicle);
    void restore(const journal::States& states);
    // 0 when there are too many: such a process keeps what it has when it could have the other back.
    std::uint16_t number_of(const Set& set);
    [[nodiscard]] std::optional<Set> find(std::uint16_t number) const;

  private:
    void write(std::uint16_t number, const Set& set);

    Chronicle& chronicle_;
    std::map<std::uint16_t, Set> sets_;  // from 1
};

}  // namespace gpcsup::supervisor
