#pragma once
// gpcsupd's one way to write history: appends to the journal, hands each event to whoever listens (the bus),
// and compacts the journal when it has grown. What a key's body means is its writer's business.

#include <functional>
#include <nlohmann/json.hpp>

#include "journal/journal.h"
#include "supervisor/keeper_link.h"

namespace gpcsup::supervisor {

using Json = nlohmann::ordered_json;

// On one line; what is no UTF-8 in it (names of files, arguments) is replaced, not an error.
[[nodiscard]] std::string text_of(const Json& json);

class Chronicle {
  public:
    Chronicle(journal::Journal journal, KeeperLink& keeper) : journal_(std::move(journal)), keeper_(keeper) {}

    // Each returns the record's sequence. A journal that cannot be written (no memory) is said once on
    // stderr; the supervisor goes on, and what it could not write is lost to its successor.
    std::uint64_t note(std::string_view event, const Json& body);
    std::uint64_t state(std::string_view event, std::string_view key, const Json& body);
    std::uint64_t erase(std::string_view event, std::string_view key, const Json& body = Json::object());
    // A state that must be written before anything is done: an error when it is not.
    base::Result<> intend(std::string_view key, const Json& body);
    // A state that only its writer reads, as bytes of its own form; no event.
    void keep(std::string_view key, std::string_view bytes);
    [[nodiscard]] std::uint64_t next_sequence() const { return journal_.last_sequence() + 1; }
    void go_on_behind(std::uint64_t sequence) { journal_.go_on_behind(sequence); }

    void on_event(std::function<void(const std::string& line)> listener) { listener_ = std::move(listener); }

    // Who writes states gives a function that writes all of them again, for compaction.
    using Rewrite = std::function<void(Chronicle&)>;
    void add_rewriter(Rewrite rewrite) { rewriters_.push_back(std::move(rewrite)); }
    void compact_when_grown();

    // Event lines (docs/bus.md, Events) from sequence `since` on, at most `most` of the newest; and the next
    // sequence.
    [[nodiscard]] base::Result<std::pair<std::string, std::uint64_t>> lines(std::uint64_t since,
                                                                            std::uint64_t most) const;
    // The newest event whose body has "unit": name, as an object; null when there is none.
    [[nodiscard]] Json last_event_of(std::string_view unit) const;
    // The newest event that is meant, whole, as an object; null when the journal has none (any more). `word`
    // is in its body's text: what is without it is not parsed.
    using Meant = std::function<bool(std::string_view event, const Json& body)>;
    [[nodiscard]] Json last_event(std::string_view word, const Meant& meant) const;

  private:
    void carry_over(const journal::States& states);
    std::uint64_t written(const base::Result<std::uint64_t>& sequence, std::string_view event,
                          const std::string& body);

    journal::Journal journal_;
    KeeperLink& keeper_;
    std::function<void(const std::string&)> listener_;
    std::vector<Rewrite> rewriters_;
    bool failing_ = false;
};

// RFC 3339, UTC, microseconds: "2026-11-23T22:03:53.000001Z".
[[nodiscard]] std::string format_time(std::uint64_t realtime_ns);

}  // namespace gpcsup::supervisor
