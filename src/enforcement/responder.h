#pragma once
// The heart of gpc-enforce: receives notifications, lets them go on, parks them, refuses them. Everything it
// must not lose is in the shared table; its own arrays only say when to look again, and a successor does
// without them.

#include <cstdint>

#include "enforcement/admission.h"
#include "enforcement/listeners.h"
#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline constexpr std::uint64_t never = UINT64_MAX;

class Responder {
  public:
    explicit Responder(Listeners& listeners) : listeners_(listeners) {}

    void use_table(wire::EnforcementTable* table) { table_ = table; }
    [[nodiscard]] bool has_table() const { return table_ != nullptr; }
    void use_supervisor_wakeup(int descriptor);

    // What a predecessor had received and not answered, and what it had parked. Once the set of descriptors
    // is complete.
    void adopt();

    // Room for one more notification; without it, listeners must not be waited for.
    [[nodiscard]] bool has_room() const { return held_ < wire::pending_count; }
    void listening(std::uint32_t listener);  // it has come: its row says so from now on
    void serve(std::uint32_t listener);      // its descriptor is readable: one notification
    void forget_domain(std::uint64_t key);   // its listener hung up
    void look_again(std::uint64_t now);      // at everything parked: gpcsupd has published, or a look is due
    [[nodiscard]] std::uint64_t next_look() const {  // monotonic ns, or `never`
        return remind_at_ < next_look_ ? remind_at_ : next_look_;
    }
    // Listeners that had their share, as soon as there is room for them again. Once a round.
    void let_in();
    void flush_wakeup();  // tells gpcsupd, at most once a round
    // gpc-init has gone, and gpcsupd goes with it: nobody counts any more, so a full budget is refused at
    // once.
    void go_on_alone() { alone_ = true; }
    // The table is given up: whoever waits is let go on or refused, and nothing is left behind for whoever
    // comes next.
    void answer_all();

  private:
    enum class Admission { admitted, full, spent, waits };
    struct Look {                 // of one parked request; only here, a successor starts over
        std::uint64_t asked = 0;  // a count that began before this does not answer it; 0 = not asked yet
        std::uint64_t at = 0;     // not before this moment
    };

    void decide(std::uint32_t slot, Listener& listener);
    void park(std::uint32_t slot);
    Admission admit(std::uint32_t slot, Listener& listener, std::uint32_t& full);
    void be_full(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now);
    void judge_full(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now);
    void be_spent(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now);
    void delay(std::uint32_t slot, std::uint64_t now);
    void refuse(std::uint32_t slot, Listener& listener, std::uint32_t row, std::uint64_t now,
                wire::RefusalCause cause = wire::RefusalCause::limit);
    void examine(std::uint32_t slot, std::uint64_t now);
    void give_verdict(std::uint32_t slot, Listener& listener);
    void ask(std::uint32_t slot, std::uint32_t row, std::uint64_t since);
    void schedule(std::uint32_t slot, std::uint64_t at);
    void expect_supervisor();
    void take(std::uint32_t slot, std::uint32_t listener);
    void release(std::uint32_t slot);
    // As much as is free, so that nobody takes what the others need: whoever holds that much already waits.
    [[nodiscard]] std::uint32_t share() const { return wire::pending_count - held_; }
    [[nodiscard]] Leaves leaves_of(const wire::Domain& domain, const wire::Pending& pending) const;
    [[nodiscard]] wire::Domain* domain_of(Listener& listener) const;

    Listeners& listeners_;
    wire::EnforcementTable* table_ = nullptr;
    int supervisor_wakeup_ = -1;
    bool wakeup_due_ = false;
    bool alone_ = false;
    bool released_ = false;       // a slot, since let_in()
    std::uint32_t held_ = 0;      // slots in use
    std::uint32_t slot_end_ = 0;  // no slot at or behind this is in use
    std::uint64_t next_look_ = never;
    std::uint64_t remind_at_ = never;  // gpcsupd may have died between hearing of a request and serving it
    Look looks_[wire::pending_count];
    std::uint32_t listener_of_[wire::pending_count] = {};  // whose share a slot in use is of
};

}  // namespace gpcsup::enforcement
