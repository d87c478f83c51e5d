#include "supervisor/past_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "supervisor/records.h"

namespace gpcsup::supervisor {
namespace {

constexpr std::string_view prefix = "past-limits/";

}  // namespace

PastLimits::PastLimits(Chronicle& chronicle) : chronicle_(chronicle) {
    chronicle_.add_rewriter([this](Chronicle&) {
        for (const auto& [number, set] : sets_) {
            write(number, set);
        }
    });
}

void PastLimits::restore(const journal::States& states) {
    each_record(states, prefix, chronicle_, [this](const std::string& number, const Json& body) {
        Set set;
        const Json& limits = body.at("limits");
        for (std::size_t at = 0; at < set.size(); ++at) {
            set[at] = {limits.at(at).at(0).get<std::uint64_t>(), limits.at(at).at(1).get<std::uint64_t>()};
        }
        sets_[static_cast<std::uint16_t>(std::stoul(number))] = set;
    });
}

std::uint16_t PastLimits::number_of(const Set& set) {
    const auto known = std::ranges::find_if(sets_, [&](const auto& one) { return one.second == set; });
    if (known != sets_.end()) {
        return known->first;
    }
    const auto last = sets_.empty() ? std::uint16_t{0} : sets_.rbegin()->first;
    if (last >= most) {
        return 0;
    }
    const auto number = static_cast<std::uint16_t>(last + 1);
    sets_[number] = set;
    write(number, set);
    return number;
}

std::optional<PastLimits::Set> PastLimits::find(std::uint16_t number) const {
    const auto known = sets_.find(number);
    return known != sets_.end() ? std::optional(known->second) : std::nullopt;
}

void PastLimits::write(std::uint16_t number, const Set& set) {
    Json limits = Json::array();
    for (const auto& limit : set) {
        limits.push_back({limit.soft, limit.hard});
    }
    chronicle_.state("", fmt::format("{}{:05}", prefix, number), {{"limits", std::move(limits)}});
}

}  // namespace gpcsup::supervisor
