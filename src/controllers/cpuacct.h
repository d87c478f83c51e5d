#pragma once
// cpuacct: what a group's processes have used of the CPUs, hierarchical, in nanoseconds. It only reads the
// books; the ledger that keeps them is in room processes. What it cannot know exactly is apart, in
// `estimated`. In a hierarchy of 2006 every figure is the group's own, in milliseconds.
//
// Nothing is ever set back: whoever wants to know what is used from now on sets a mark, and reads what has
// been used since.
//
// `load` is what the group used in the last whole slot of ten seconds, in per cent of one CPU (the slots of
// cpuacct in October 2007). Slots are only kept of groups whose load somebody reads, so that an idle machine
// is not woken up.

#include <map>

#include "controllers/controller.h"

namespace gpcsup::controllers {

class Cpuacct final : public Controller {
  public:
    explicit Cpuacct(Host& host) : host_(host) {}
    [[nodiscard]] std::string_view name() const override { return "cpuacct"; }
    [[nodiscard]] std::span<const Attribute> attributes() const override;
    base::Result<> create(grouping::GroupId group, grouping::GroupId parent) override;
    void destroy(grouping::GroupId group) override;
    base::Result<> can_set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> set(grouping::GroupId group, std::string_view attribute, const Value& value) override;
    base::Result<> take_back(grouping::GroupId group, std::string_view attribute,
                             const CutOff& change) override;
    base::Result<Value> get(grouping::GroupId group, std::string_view attribute) override;
    base::Result<Value> asked(grouping::GroupId group, std::string_view attribute) override;

  private:
    struct Meter {
        std::uint64_t asked_in = 0;        // the slot in which somebody read it last
        std::uint64_t usage_ns = 0;        // at the beginning of the running slot
        std::chrono::nanoseconds began{};  // when that was; 0 = not yet
        std::uint64_t load = 0;
    };
    [[nodiscard]] bool is_of_2006(grouping::GroupId group) const;
    [[nodiscard]] Host::CpuTime counted(grouping::GroupId group);
    [[nodiscard]] Value shown(grouping::GroupId group, std::uint64_t nanoseconds) const;
    [[nodiscard]] std::uint64_t mark(grouping::GroupId group) const;  // 0: never set
    std::uint64_t load(grouping::GroupId group);
    void end_slot();
    void wait_for_slot();

    Host& host_;
    std::map<grouping::GroupId, Meter> meters_;
    std::map<grouping::GroupId, std::uint64_t> marks_;  // ns; remembered by the host, too
    std::chrono::nanoseconds waits_for_{};              // 0: nobody reads any load
};

}  // namespace gpcsup::controllers
