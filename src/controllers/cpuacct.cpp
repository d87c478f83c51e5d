#include "controllers/cpuacct.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

namespace gpcsup::controllers {

using grouping::GroupId;

namespace {

struct Row {
    Attribute attribute;
    std::uint64_t Host::CpuTime::*figure;
};

constexpr AttributeType type = AttributeType::nanoseconds;
constexpr Access access = Access::read_only;

constexpr Row rows[] = {
    {{"usage", type, access, "ns", "0",
      "CPU time used by the group and the groups below it (its own, in ms, with compat = \"2006\")"},
     &Host::CpuTime::usage_ns},
    {{"user", type, access, "ns", "0", "The part of usage spent in programs"}, &Host::CpuTime::user_ns},
    {{"system", type, access, "ns", "0", "The part of usage spent in the kernel"}, &Host::CpuTime::system_ns},
    {{"estimated", type, access, "ns", "0",
      "The part of usage that is sampled: of processes whose parent ignored their end"},
     &Host::CpuTime::estimated_ns},
};

constexpr std::array table{
    rows[0].attribute,
    rows[1].attribute,
    rows[2].attribute,
    rows[3].attribute,
    Attribute{"own_usage", type, access, "ns", "0", "The part of usage that no group below it used"},
    Attribute{"mark", AttributeType::mark, Access::read_write, "ns", "0",
              "Setting it to now marks the usage of this moment, which is what is read; 0 = never set",
              nullptr, Cloned::no, "", Kept::by_controller},
    Attribute{"since_mark", type, access, "ns", "0", "The part of usage since mark was set"},
    Attribute{
        "load", AttributeType::count, access, "per cent of a CPU", "0",
        "What it used in the last whole ten seconds; 0 until somebody has been reading it for that long"},
};
static_assert(std::size(rows) + 4 == table.size());

constexpr std::uint64_t ns_of_ms = 1'000'000;

constexpr std::chrono::seconds slot_length{10};
constexpr std::uint64_t slots_without_reader = 6;

std::uint64_t slot_of(std::chrono::nanoseconds moment) {
    return static_cast<std::uint64_t>(moment / slot_length);
}

const Registration registration("cpuacct", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Cpuacct>(host);
});

std::unexpected<base::Error> only_read(std::string_view attribute) {
    return base::refuse(EACCES, "cpuacct." + std::string(attribute) + " can only be read");
}

}  // namespace

std::span<const Attribute> Cpuacct::attributes() const {
    return table;
}

base::Result<> Cpuacct::create(GroupId group, GroupId) {
    if (const auto text = host_.remembered(group, name())) {
        std::uint64_t kept = 0;
        std::from_chars(text->data(), text->data() + text->size(), kept);
        marks_[group] = kept;
    }
    return {};
}

void Cpuacct::destroy(GroupId group) {
    meters_.erase(group);
    marks_.erase(group);
    host_.forget(group, name());
}

base::Result<> Cpuacct::can_set(GroupId, std::string_view attribute, const Value&) {
    return attribute == "mark" ? base::Result<>() : only_read(attribute);
}

// To now, or, when a transaction is taken back, to what it was.
base::Result<> Cpuacct::set(GroupId group, std::string_view attribute, const Value& value) {
    if (attribute != "mark") {
        return only_read(attribute);
    }
    const auto* before = std::get_if<std::uint64_t>(&value);
    marks_[group] = before != nullptr ? *before : counted(group).usage_ns;
    host_.remember(group, name(), std::to_string(marks_[group]));
    return {};
}

// The mark is remembered before the transaction it belongs to is through.
base::Result<> Cpuacct::take_back(GroupId group, std::string_view attribute, const CutOff& change) {
    std::uint64_t before = 0;
    const std::string text(change.before);
    const char* const end = text.data() + text.size();
    if (const auto [at, error] = std::from_chars(text.data(), end, before);
        at != end || error != std::errc()) {
        return base::refuse(EPROTO, "cpuacct." + std::string(attribute) + " was no figure before");
    }
    return set(group, attribute, Value{before});
}

bool Cpuacct::is_of_2006(GroupId group) const {
    return host_.forest().compat_of(group) == grouping::Compat::year_2006;
}

Host::CpuTime Cpuacct::counted(GroupId group) {
    return is_of_2006(group) ? host_.own_cpu_time(group) : host_.cpu_time(group);
}

Value Cpuacct::shown(GroupId group, std::uint64_t nanoseconds) const {
    return Value{is_of_2006(group) ? nanoseconds / ns_of_ms : nanoseconds};
}

std::uint64_t Cpuacct::mark(GroupId group) const {
    const auto known = marks_.find(group);
    return known != marks_.end() ? known->second : 0;
}

base::Result<Value> Cpuacct::asked(GroupId group, std::string_view attribute) {
    return attribute == "mark" ? base::Result<Value>(Value{mark(group)}) : get(group, attribute);
}

base::Result<Value> Cpuacct::get(GroupId group, std::string_view attribute) {
    if (attribute == "load") {
        return Value{load(group)};
    }
    if (attribute == "mark") {
        return shown(group, mark(group));
    }
    if (attribute == "own_usage") {
        return shown(group, host_.own_cpu_time(group).usage_ns);
    }
    if (attribute == "since_mark") {
        const std::uint64_t usage = counted(group).usage_ns;
        return shown(group, usage - std::min(usage, mark(group)));
    }
    for (const Row& row : rows) {
        if (row.attribute.name == attribute) {
            return shown(group, counted(group).*row.figure);
        }
    }
    return base::refuse(ENOENT, "there is no attribute cpuacct." + std::string(attribute));
}

std::uint64_t Cpuacct::load(GroupId group) {
    Meter& meter = meters_[group];
    meter.asked_in = slot_of(host_.now());
    wait_for_slot();
    return meter.load;
}

void Cpuacct::wait_for_slot() {
    if (waits_for_.count() == 0 && !meters_.empty()) {
        waits_for_ = (slot_of(host_.now()) + 1) * slot_length;
        host_.call_at(name(), waits_for_, [this] { end_slot(); });
    }
}

// By the time that has really passed: gpcsupd may come late.
void Cpuacct::end_slot() {
    waits_for_ = {};
    const std::chrono::nanoseconds now = host_.now();
    std::erase_if(meters_, [&](const auto& meter) {
        return meter.second.asked_in + slots_without_reader < slot_of(now);
    });
    for (auto& [group, meter] : meters_) {
        const std::uint64_t usage = counted(group).usage_ns;
        const auto passed = static_cast<std::uint64_t>((now - meter.began).count());
        const std::uint64_t used = usage - std::min(usage, meter.usage_ns);
        meter.load = meter.began.count() == 0 ? 0 : (used * 100 + passed / 2) / passed;
        meter.usage_ns = usage;
        meter.began = now;
    }
    wait_for_slot();
}

}  // namespace gpcsup::controllers
