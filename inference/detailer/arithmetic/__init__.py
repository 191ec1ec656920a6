# SPDX-License-Identifier: GPL-3.0-or-later
"""How crops are sized, softened and seeded: Maquette's own way, and the Impact Pack's."""
