#pragma once
// Sentences about a unit that both the status screen and a unit's own block show. Pure.

#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/look.h"

namespace gpcsup::cli {

struct Note {
    Tone tone = Tone::plain;
    std::string text;
};

// Why it is not well, and what comes next: reason, deadline, next try. Empty for a unit that is well.
std::vector<Note> state_notes(const Json& unit, const Look& look);
// Limits near their edge (from four fifths on) or with refusals.
std::vector<Note> edge_notes(const Json& unit);
// What is only observed, and why.
std::vector<Note> enforcement_notes(const Json& unit);
// By which groups it stands still, and how it goes on.
std::vector<Note> frozen_notes(const Json& unit);
std::string limit_text(const Json& limit);

// "compute:/batch  tenant:/acme": where the unit is placed, without roots and the built-in hierarchy.
std::string place_text(const Json& place);
std::string all_places_text(const Json& places);  // with the roots

}  // namespace gpcsup::cli
